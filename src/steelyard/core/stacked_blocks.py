"""Linear layers, LayerNorm, ReLU and dropout in a row for several members: one member after another, in the cache of a core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from steelyard.core.side_by_side import Compiled, side_by_side
from steelyard.core.stacked_dropout import TOGETHER, Drops, part_of
from steelyard.core.stacked_products import least, multiply, weight_gradient


@dataclass(frozen=True)
class Block:
    """Linear, LayerNorm, ReLU and dropout.

    Attributes:
        eps: of LayerNorm.
        share: how much is dropped; 0 for nothing.
    """

    eps: float
    share: float = 0.0


class Hidden(torch.autograd.Function):
    """Blocks in a row for all members, `[k, N, i]` to `[k, N, o]`.

    `numbers` are, block by block, weight `[k, o, i]` and bias of the linear layer, and weight and bias of LayerNorm, `[k, o]`
    each.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, blocks: Sequence[Block], *numbers: Tensor) -> Tensor:
        """The last block's output."""
        many, rows, enough = len(inputs), inputs.shape[1], least()
        found = inputs.new_empty(many, rows, numbers[-4].shape[1])
        shares, eps = [block.share for block in blocks], [block.eps for block in blocks]
        drops = Drops.draw(shares, [bias.shape[1] for bias in numbers[1::4]], rows, many)
        levels, factors = drops.levels, drops.factors
        # ReLU passes positive factors on, so that of dropout is put into the affine part of LayerNorm.
        own = [value if at % 4 < 2 or not shares[at // 4] else value * factors[at // 4] for at, value in enumerate(numbers)]

        def work(first: int, last: int) -> list[list[Tensor]]:
            drawn = drops.drawn(first, last)
            part: list[list[Tensor]] = _forward(inputs, own, drawn, levels, TOGETHER, eps, found, first, last, enough)
            return part

        # Without the output: it would hold itself, and never be freed.
        ctx.kept = [kept for part in side_by_side(work, many) for kept in part]
        ctx.own, ctx.factors = own, factors
        ctx.save_for_backward(inputs, found, *numbers)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs, where somebody asks for them, and of the numbers."""
        inputs, output, *numbers = ctx.saved_tensors
        for_inputs = inputs.new_empty(inputs.shape) if ctx.needs_input_grad[0] else None
        found, enough = [torch.empty_like(value) for value in numbers], least()

        def work(first: int, last: int) -> None:
            _backward(output, ctx.own, ctx.kept[first:last], grads[0], for_inputs, found, first, enough)

        side_by_side(work, len(inputs))
        for at, by in enumerate(ctx.factors):
            if by != 1:
                found[4 * at + 2].mul_(by)
                found[4 * at + 3].mul_(by)
        return for_inputs, None, *found


def _forward_of(
    inputs: Tensor,
    numbers: list[Tensor],
    drawn: list[list[Tensor]],
    levels: list[float],
    together: int,
    eps: list[float],
    found: Tensor,
    first: int,
    last: int,
    enough: int,
) -> list[list[Tensor]]:
    """Of the members from `first` to `last`. Keeps what `_of_member` does."""
    kept: list[list[Tensor]] = []
    masks: list[Tensor] = []
    for j in range(first, last):
        if j == first or j % together == 0:
            masks = [layer.to(inputs.dtype) for layer in drawn[j // together - first // together]]
        own = [part_of(mask, j, together, inputs.size(1), numbers[4 * at].size(1)) for at, mask in enumerate(masks)]
        kept.append(_of_member(inputs, numbers, own, levels, eps, found, j, enough))
    return kept


def _of_member(
    inputs: Tensor,
    numbers: list[Tensor],
    masks: list[Tensor],
    levels: list[float],
    eps: list[float],
    found: Tensor,
    j: int,
    enough: int,
) -> list[Tensor]:
    """Of member j. Keeps, block by block, its input, what comes out of the linear layer, its mean and its deviation."""
    kept: list[Tensor] = []
    values = inputs[j]
    for at in range(len(masks)):
        hidden = multiply(values, numbers[4 * at][j], numbers[4 * at + 1][j], enough)
        scale, shift = numbers[4 * at + 2][j], numbers[4 * at + 3][j]
        normal, mean, deviation = torch.native_layer_norm(hidden, [hidden.size(1)], scale, shift, eps[at])
        kept.extend([values, hidden, mean, deviation])
        values = torch.relu_(normal)
        if masks[at].numel() > 0:
            values = torch.ops.aten.threshold_backward(values, masks[at], levels[at])
    found[j].copy_(values)
    return kept


def _backward_of(
    output: Tensor,
    numbers: list[Tensor],
    kept: list[list[Tensor]],
    grads: Tensor,
    for_inputs: Tensor | None,
    found: list[Tensor],
    first: int,
    enough: int,
) -> None:
    """Of the members from `first` on, written to `for_inputs` and `found`."""
    for at, own in enumerate(kept):
        _back_of_member(output, numbers, own, grads, for_inputs, found, first + at, enough)


def _back_of_member(
    output: Tensor,
    numbers: list[Tensor],
    kept: list[Tensor],
    grads: Tensor,
    for_inputs: Tensor | None,
    found: list[Tensor],
    j: int,
    enough: int,
) -> None:
    """Of member j, written to `for_inputs` and `found`."""
    blocks = len(numbers) // 4
    grad, after = grads[j], output[j]
    for back in range(blocks):
        at = blocks - 1 - back
        place = 4 * at
        values, hidden = kept[place], kept[place + 1]
        scale, shift = numbers[4 * at + 2][j], numbers[4 * at + 3][j]
        # What ReLU or dropout made 0 has no gradient.
        grad = torch.ops.aten.threshold_backward(grad, after, 0)
        grad, for_scale, for_shift = torch.ops.aten.native_layer_norm_backward(
            grad, hidden, [hidden.size(1)], kept[place + 2], kept[place + 3], scale, shift, [True, True, True]
        )
        found[4 * at][j].copy_(weight_gradient(grad, values, enough))
        torch.sum(grad, [0], out=found[4 * at + 1][j])
        found[4 * at + 2][j].copy_(for_scale)
        found[4 * at + 3][j].copy_(for_shift)
        after = values
        if at > 0:
            grad = multiply(grad, numbers[4 * at][j].t(), None, enough)
        elif for_inputs is not None:
            for_inputs[j].copy_(multiply(grad, numbers[4 * at][j].t(), None, enough))


_forward, _backward = Compiled(_forward_of), Compiled(_backward_of)
