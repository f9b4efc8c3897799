"""Linear layers, SiLU and dropout in a row for several members: one member after another, in the cache of a core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.stacked_products import multiply, weight_gradient


@dataclass(frozen=True)
class Drops:
    """Dropout of one layer.

    Attributes:
        mask: whole numbers `[k, N, o]`, of which those up to `level` stand for dropping.
        level: see `mask`.
        factor: what is kept is multiplied by it.
    """

    mask: Tensor
    level: float
    factor: float

    def factors(self, j: int) -> Tensor:
        """0 or `factor` for each number of member j, `[N, o]`."""
        numbers = self.mask[j].float()
        kept = numbers.new_full((), self.factor).expand_as(numbers)
        torch.ops.aten.threshold_backward.grad_input(kept, numbers, self.level, grad_input=numbers)
        return numbers


class Smooth(torch.autograd.Function):
    """Linear, SiLU and dropout, over and over, for all members: `[k, N, i]` to `[k, N, o]`.

    `numbers` are, layer by layer, weight `[k, o, i]` and bias `[k, o]`; `drops` says what each layer drops, None for nothing.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, drops: Sequence[Drops | None], *numbers: Tensor) -> Tensor:
        """The last layer's output."""
        found = inputs.new_empty(*inputs.shape[:2], numbers[-1].shape[1])
        kept: list[list[tuple[Tensor, Tensor, Tensor | None]]] = [[] for _ in inputs]

        for j, (values, last, own) in enumerate(zip(inputs.unbind(), found.unbind(), _each(numbers), strict=True)):
            for at, drop in enumerate(drops):
                hidden = multiply(values, own[2 * at], own[2 * at + 1])
                output = last if at == len(drops) - 1 else torch.empty_like(hidden)
                torch.ops.aten.silu.out(hidden, out=output)
                factors = None if drop is None else drop.factors(j)
                if factors is not None:
                    output.mul_(factors)
                kept[j].append((values, hidden, factors))
                values = output
        ctx.save_for_backward(inputs, *numbers)
        ctx.kept, ctx.drops = kept, drops
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs, where somebody asks for them, and of the numbers."""
        inputs, *numbers = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again
            return _differentiable(ctx, inputs, numbers, grads[0])
        for_inputs = torch.empty_like(inputs) if ctx.needs_input_grad[0] else None
        found = [torch.empty_like(value) for value in numbers]

        each = zip(ctx.kept, grads[0].unbind(), _each(numbers), _each(found), strict=True)
        for j, (kept, grad, own, out) in enumerate(each):
            for at in range(len(kept) - 1, -1, -1):
                values, hidden, factors = kept[at]
                grad = grad if factors is None else grad * factors
                grad = torch.ops.aten.silu_backward(grad, hidden)
                out[2 * at].copy_(weight_gradient(grad, values))
                torch.sum(grad, 0, out=out[2 * at + 1])
                weight = own[2 * at]
                if at:
                    grad = multiply(grad, weight.T)
                elif for_inputs is not None and inputs.stride(1) == 1:  # as a column's numbers lie side by side
                    for_inputs[j].T.copy_(multiply(weight.T, grad))
                elif for_inputs is not None:
                    for_inputs[j].copy_(multiply(grad, weight.T))
        return for_inputs, None, *found


def _each(numbers: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Those of each member."""
    return list(zip(*(value.unbind() for value in numbers), strict=True))


def _differentiable(ctx: Any, inputs: Tensor, numbers: Sequence[Tensor], grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients, with their graph."""
    values = inputs
    for at, drop in enumerate(ctx.drops):
        weight, bias = numbers[2 * at], numbers[2 * at + 1]
        values = F.silu(torch.baddbmm(bias.unsqueeze(1), values, weight.transpose(1, 2)))
        if drop is not None:
            values = values * torch.stack([drop.factors(j) for j in range(len(values))])
    asked = (ctx.needs_input_grad[0], *ctx.needs_input_grad[2:])
    wanted = [value for value, needed in zip((inputs, *numbers), asked, strict=True) if needed]
    found = iter(torch.autograd.grad(values, wanted, grad, create_graph=True))
    for_inputs, *for_numbers = (next(found) if needed else None for needed in asked)
    return for_inputs, None, *for_numbers
