"""Matrix products of several members, forward and back: by the kernel that is fastest for their sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LEAST = 1 << 19
"""Multiplications of one member's product from which on oneDNN's kernel is worth its call."""


@cache
def kernel() -> Callable[..., Tensor] | None:
    """The `inputs @ weight.T + bias` of oneDNN in float32, which `torch.compile` uses, too; None where this torch has none.

    `torch.mm` and `torch.bmm` call another library, which on processors not of its maker's leaves half of the speed unused.
    """
    if not torch.backends.mkldnn.is_available():
        return None
    try:
        found: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise
        first, second = torch.ones(3, 2), torch.ones(4, 2)
        if not torch.equal(found(first, second, torch.ones(4), "none", [], ""), torch.full((3, 4), 3.0)):
            return None
    except (AttributeError, RuntimeError, TypeError):  # it is no public function, and may change
        return None
    return found


def multiply(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`inputs [N, i] @ weight [o, i].T + bias [o]` of one member.

    Example:
        >>> multiply(torch.ones(2, 3), torch.ones(1, 3), torch.ones(1))
        tensor([[4.],
                [4.]])
    """
    fast = kernel() if inputs.shape[0] * weight.numel() >= LEAST else None
    if fast is not None:
        return fast(inputs, weight, bias, "none", [], "")
    return inputs @ weight.T if bias is None else torch.addmm(bias, inputs, weight.T)


def weight_gradient(grad: Tensor, inputs: Tensor) -> Tensor:
    """`grad [N, o].T @ inputs [N, i]` of one member; made so that the longer side is that of the rows of the second factor."""
    return multiply(inputs.T, grad.T).T if inputs.shape[1] < grad.shape[1] else multiply(grad.T, inputs.T)


class Affine(torch.autograd.Function):
    """`inputs [k, N, i] @ weight [k, o, i].T + bias [k, o]` for all members."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`[k, N, o]`."""
        ctx.save_for_backward(inputs, weight)
        ctx.biased = bias is not None
        if _is_small(inputs, weight):
            across = weight.transpose(1, 2)
            return torch.bmm(inputs, across) if bias is None else torch.baddbmm(bias.unsqueeze(1), inputs, across)
        found = inputs.new_empty(*inputs.shape[:2], weight.shape[1])

        for j in range(len(found)):
            found[j].copy_(multiply(inputs[j], weight[j], None if bias is None else bias[j]))
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Of those that somebody asks for."""
        inputs, weight = ctx.saved_tensors
        grad = grads[0]
        for_inputs, for_weight, for_bias = (None, None, None)
        if ctx.biased and ctx.needs_input_grad[2]:
            for_bias = grad.sum(1)
        if _is_small(inputs, weight):
            if ctx.needs_input_grad[0]:
                for_inputs = torch.bmm(grad, weight)
            if ctx.needs_input_grad[1]:
                for_weight = torch.bmm(grad.transpose(1, 2), inputs)
            return for_inputs, for_weight, for_bias
        if ctx.needs_input_grad[0]:
            for_inputs = inputs.new_empty(inputs.shape)
        if ctx.needs_input_grad[1]:
            for_weight = torch.empty_like(weight)

        for j in range(len(grad)):
            if for_inputs is not None:
                for_inputs[j].copy_(multiply(grad[j], weight[j].T))
            if for_weight is not None:
                for_weight[j].copy_(weight_gradient(grad[j], inputs[j]))
        return for_inputs, for_weight, for_bias


def _is_small(inputs: Tensor, weight: Tensor) -> bool:
    return inputs.shape[1] * weight.shape[1] * weight.shape[2] < LEAST or kernel() is None


@dataclass(frozen=True)
class Block:
    """Linear, LayerNorm, ReLU and dropout.

    Attributes:
        eps: of LayerNorm.
        mask: whole numbers `[k, N, o]`, of which those up to `level` stand for dropping; None without dropout.
        level: see `mask`.
        factor: what is kept is multiplied by it.
    """

    eps: float
    mask: Tensor | None = None
    level: float = 0.0
    factor: float = 1.0


class Hidden(torch.autograd.Function):
    """Blocks in a row for all members, `[k, N, i]` to `[k, N, o]`.

    One member after another, since what one needs fits into the cache of a core. `numbers` are, block by block, weight
    `[k, o, i]` and bias of the linear layer, and weight and bias of LayerNorm, `[k, o]` each.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, blocks: Sequence[Block], *numbers: Tensor) -> Tensor:
        """The last block's output."""
        found = inputs.new_empty(*inputs.shape[:2], numbers[-4].shape[1])
        # ReLU passes positive factors on, so that of dropout is put into the affine part of LayerNorm.
        factors = [factor for block in blocks for factor in (1.0, 1.0, block.factor, block.factor)]
        members = [(value if by == 1 else value * by).unbind() for value, by in zip(numbers, factors, strict=True)]
        kept: list[list[tuple[Tensor, ...]]] = [[] for _ in inputs]

        for j in range(len(inputs)):
            values = inputs[j]
            for at, block in enumerate(blocks):
                weight, bias, scale, shift = (value[j] for value in members[4 * at : 4 * at + 4])
                hidden = multiply(values, weight, bias)
                normal, mean, deviation = torch.native_layer_norm(hidden, (len(weight),), scale, shift, block.eps)
                output = found[j] if at == len(blocks) - 1 else torch.empty_like(normal)
                if block.mask is None:
                    torch.clamp_min(normal, 0, out=output)
                else:
                    torch.ops.aten.threshold_backward.grad_input(
                        normal.relu_(), block.mask[j].float(), block.level, grad_input=output
                    )
                kept[j].append((values, hidden, mean, deviation, scale, shift))
                values = output
        ctx.save_for_backward(inputs, found, *numbers)
        ctx.blocks, ctx.kept = blocks, kept  # the output itself only above: here it would hold itself, and never be freed
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs, where somebody asks for them, and of the numbers."""
        inputs, output, *numbers = ctx.saved_tensors
        for_inputs = inputs.new_empty(inputs.shape) if ctx.needs_input_grad[0] else None
        found = [torch.empty_like(value) for value in numbers]

        for j in range(len(inputs)):
            own, grad, after = ctx.kept[j], grads[0][j], output[j]
            for at in range(len(own) - 1, -1, -1):
                values, hidden, mean, deviation, scale, shift = own[at]
                # What ReLU or dropout made 0 has no gradient.
                grad = torch.ops.aten.threshold_backward(grad, after, 0)
                grad, for_scale, for_shift = torch.ops.aten.native_layer_norm_backward(
                    grad, hidden, hidden.shape[1:], mean, deviation, scale, shift, [True, True, True]
                )
                found[4 * at][j].copy_(weight_gradient(grad, values))
                after = values
                torch.sum(grad, 0, out=found[4 * at + 1][j])
                found[4 * at + 2][j].copy_(for_scale)
                found[4 * at + 3][j].copy_(for_shift)
                if at or for_inputs is not None:
                    grad = multiply(grad, numbers[4 * at][j].T)
            if for_inputs is not None:
                for_inputs[j].copy_(grad)
        for at, block in enumerate(ctx.blocks):
            if block.factor != 1:
                found[4 * at + 2].mul_(block.factor)
                found[4 * at + 3].mul_(block.factor)
        return for_inputs, None, *found
