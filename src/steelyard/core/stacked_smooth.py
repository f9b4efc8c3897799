"""Linear layers, SiLU and dropout in a row for several members: one member after another, in the cache of a core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.side_by_side import Compiled, one_by_one, side_by_side
from steelyard.core.stacked_dropout import Drops
from steelyard.core.stacked_products import least, multiply, weight_gradient


class Smooth(torch.autograd.Function):
    """Linear, SiLU and dropout, over and over, for all members: `[k, N, i]` to `[k, N, o]`.

    `numbers` are, layer by layer, weight `[k, o, i]` and bias `[k, o]`; `shares` says how much each layer drops, 0 for nothing.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, shares: Sequence[float], *numbers: Tensor) -> Tensor:
        """The last layer's output."""
        many, rows, enough = len(inputs), inputs.shape[1], least()
        found = inputs.new_empty(many, rows, numbers[-1].shape[1])
        drops = Drops.draw(shares, [torch.Size([rows, bias.shape[1]]) for bias in numbers[1::2]], many)
        levels, factors = drops.levels, drops.factors
        own = _scaled(numbers, factors)
        ctx.kept = one_by_one(lambda j: _forward(inputs, own, drops.of(j), levels, factors[-1], found, j, enough), many)
        ctx.own, ctx.factors = own, factors
        ctx.save_for_backward(inputs, *numbers)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs, where somebody asks for them, and of the numbers."""
        inputs, *numbers = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again
            return _differentiable(ctx, inputs, numbers, grads[0])
        for_inputs = torch.empty_like(inputs) if ctx.needs_input_grad[0] else None
        found, enough = [torch.empty_like(value) for value in numbers], least()
        across = for_inputs is not None and inputs.stride(1) == 1  # as a column's numbers lie side by side

        def work(first: int, last: int) -> None:
            _backward(inputs, ctx.own, ctx.kept, grads[0], ctx.factors[-1], for_inputs, across, found, first, last, enough)

        side_by_side(work, len(inputs))
        found = _scaled(found, ctx.factors)
        return for_inputs, None, *found


DROPPED = -1e19
"""A hidden value below it stands for dropping: SiLU and its derivative are 0 there."""


def _scaled(numbers: Sequence[Tensor], factors: Sequence[float]) -> list[Tensor]:
    """The numbers, each weight multiplied by what dropout makes of what is kept of its inputs."""
    behind = [1.0, 1.0, *(by for each in factors[:-1] for by in (each, 1.0))]
    return [value if by == 1 else value * by for value, by in zip(numbers, behind, strict=True)]


def _forward_of(
    inputs: Tensor,
    numbers: list[Tensor],
    masks: list[Tensor],
    levels: list[float],
    factor: float,
    found: Tensor,
    j: int,
    enough: int,
) -> list[Tensor]:
    """Of member j, the last layer multiplied by `factor`. Keeps, layer by layer, its input and its hidden values."""
    kept: list[Tensor] = []
    values = inputs[j]
    for at in range(len(masks)):
        hidden = multiply(values, numbers[2 * at][j], numbers[2 * at + 1][j], enough)
        if masks[at].numel() > 0:
            torch.minimum(hidden, masks[at].to(hidden.dtype).sub_(levels[at] + 0.5).mul_(1e20), out=hidden)
        kept.append(values)
        kept.append(hidden)
        values = found[j] if at == len(masks) - 1 else torch.empty_like(hidden)
        torch.ops.aten.silu(hidden, out=values)
    if factor != 1:
        values.mul_(factor)
    return kept


def _backward_of(
    inputs: Tensor,
    numbers: list[Tensor],
    kept: list[Tensor],
    grads: Tensor,
    factor: float,
    for_inputs: Tensor | None,
    across: bool,
    found: list[Tensor],
    first: int,
    last: int,
    enough: int,
) -> None:
    """Of the members from `first` to `last`, written to `for_inputs` and `found`."""
    layers = len(numbers) // 2
    for j in range(first, last):
        grad = grads[j] if factor == 1 else grads[j] * factor
        for back in range(layers):
            at = layers - 1 - back
            place = 2 * (layers * j + at)
            grad = torch.ops.aten.silu_backward(grad, kept[place + 1])
            found[2 * at][j].copy_(weight_gradient(grad, kept[place], enough))
            torch.sum(grad, [0], out=found[2 * at + 1][j])
            weight = numbers[2 * at][j]
            if at > 0:
                grad = multiply(grad, weight.t(), None, enough)
            elif for_inputs is not None:
                if across:
                    for_inputs[j].t().copy_(multiply(weight.t(), grad, None, enough))
                else:
                    for_inputs[j].copy_(multiply(grad, weight.t(), None, enough))


_forward, _backward = Compiled(_forward_of), Compiled(_backward_of)


def _differentiable(ctx: Any, inputs: Tensor, numbers: Sequence[Tensor], grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients, with their graph."""
    values, layers = inputs, len(numbers) // 2
    for at in range(layers):
        weight, bias = numbers[2 * at], numbers[2 * at + 1]
        values = F.silu(torch.baddbmm(bias.unsqueeze(1), values, weight.transpose(1, 2)))
        if ctx.factors[at] != 1:
            hidden = torch.stack(ctx.kept[2 * at + 1 :: 2 * layers])
            values = values * (hidden > DROPPED) * ctx.factors[at]
    asked = (ctx.needs_input_grad[0], *ctx.needs_input_grad[2:])
    wanted = [value for value, needed in zip((inputs, *numbers), asked, strict=True) if needed]
    found = iter(torch.autograd.grad(values, wanted, grad, create_graph=True))
    for_inputs, *for_numbers = (next(found) if needed else None for needed in asked)
    return for_inputs, None, *for_numbers
