"""Cosines of numeric columns, mixed column by column: what a periodic embedding computes, forward and back.

With `a = 2 pi (w x + b)` the numbers of a column are `[x, A cos(a) + c]`. Written with plain tensor functions this reads and
writes the `[N, d, K]` angles some ten times. On the CPU the rows lie side by side instead, `[d, K, N]`, so that all of it but
the cosines is small matrix products, a column each: angles are `[w, b] @ [x, 1]`, what comes out is
`[A, 1, c] @ [cos(a), x, 1]`, and the gradients are the same products the other way round.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from steelyard.core.side_by_side import Compiled, side_by_side
from steelyard.core.stacked_layers import is_plain

SERIAL = 3
"""Threads of torch up to which numpy, which uses one, has the cosines first: its own are three times as fast."""
TURN = 2 * math.pi


def waves(numeric: Tensor, frequency: Tensor, phase: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`[x_i, A_i cos(2 pi (w_i x_i + b_i)) + c_i]` of every column i, side by side.

    Args:
        numeric: x, `[N, d]`; where there are members, all see the same rows.
        frequency: w, `[d, K]`, or of k members `[k, d, K]`; so the others.
        phase: b, `[d, K]`.
        weight: A, `[d, K, v]`.
        bias: c, `[d, v]`.

    Returns:
        `[N, d * (v + 1)]`, or of members `[k, N, d * (v + 1)]`.

    Example:
        >>> one = torch.ones(1, 1)
        >>> waves(torch.tensor([[0.0], [0.5]]), one, 0 * one, one[..., None], 0 * one)
        tensor([[ 0.0000,  1.0000],
                [ 0.5000, -1.0000]])
    """
    if not _is_plain(numeric, frequency):
        return plain_waves(numeric, frequency, phase, weight, bias)
    many = [value if frequency.ndim == 3 else value.unsqueeze(0) for value in (frequency, phase, weight, bias)]
    found: Tensor = Waves.apply(numeric, *many)  # type: ignore[no-untyped-call]
    return found if frequency.ndim == 3 else found.squeeze(0)


def plain_waves(numeric: Tensor, frequency: Tensor, phase: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`waves` as a composition of plain functions, on any device and under any transform."""
    if frequency.ndim == 3:
        frequency, phase, bias = (value.unsqueeze(1) for value in (frequency, phase, bias))
    cosines = torch.cos(TURN * (numeric.unsqueeze(-1) * frequency + phase))
    bent = torch.einsum("...ndk,...dkw->...ndw", cosines, weight) + bias
    own = numeric.unsqueeze(-1).expand(*bent.shape[:-1], 1)
    return torch.cat([own, bent], dim=-1).flatten(-2)


def _is_plain(numeric: Tensor, frequency: Tensor) -> bool:
    """Are these numbers of one precision on the CPU, with no more than backward differentiation at work?"""
    return (
        numeric.device.type == "cpu"
        and numeric.dtype == frequency.dtype
        and numeric.dtype in (torch.float32, torch.float64)
        and numeric.ndim == 2
        and not torch.is_autocast_enabled("cpu")
        and is_plain()
    )


class Waves(torch.autograd.Function):
    """`waves` of members on the CPU, one member after another, since what one needs fits into the cache of a core."""

    @staticmethod
    def forward(ctx: Any, numeric: Tensor, frequency: Tensor, phase: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """`[k, N, d * (v + 1)]`."""
        many, columns, count = frequency.shape
        rows, width = len(numeric), weight.shape[-1] + 1
        line = numeric.new_ones(columns, 2, rows)  # [x, 1]
        line[:, 0] = numeric.T
        turns = torch.stack([frequency, phase], -1).mul_(TURN)
        mix = weight.new_zeros(many, columns, width, count + 2)  # of cosines, x and 1
        mix[:, :, 0, count] = 1
        mix[:, :, 1:, :count] = weight.transpose(-1, -2)
        mix[:, :, 1:, count + 1] = bias
        basis = numeric.new_empty(many, columns, count + 2, rows)
        found = numeric.new_empty(many, columns, width, rows)

        def work(first: int, last: int) -> None:
            for j in range(first, last):
                _wave("cos", torch.bmm(turns[j], line), basis[j, :, :count])
                _mixed(basis, line, mix, found, j)

        side_by_side(work, many)
        ctx.save_for_backward(numeric, frequency, phase, weight, bias, line, turns, mix, basis)
        return found.flatten(1, 2).transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Of the columns, where somebody asks for them, and of the parameters."""
        if torch.is_grad_enabled():  # to be differentiated again
            return _differentiable(ctx, grads[0])
        *_, line, turns, mix, basis = ctx.saved_tensors
        many, columns, count, _ = turns.shape
        for_mix, for_turns = torch.empty_like(mix), torch.empty_like(turns)
        for_line = line.new_empty(many, columns, line.shape[2]) if ctx.needs_input_grad[0] else None
        across = grads[0].transpose(1, 2)

        def work(first: int, last: int) -> None:
            for j in range(first, last):
                angles = torch.bmm(turns[j], line)
                _wave("sin", angles, angles)
                _unmixed(angles, across, line, turns, mix, basis, for_mix, for_turns, for_line, j)

        side_by_side(work, many)
        for_turns.mul_(-TURN)
        return (
            None if for_line is None else for_line.sum(0).T,
            for_turns[..., 0],
            for_turns[..., 1],
            for_mix[:, :, 1:, :count].transpose(-1, -2),
            for_mix[:, :, 1:, count + 1],
        )


def _mixed_of(basis: Tensor, line: Tensor, mix: Tensor, found: Tensor, j: int) -> None:
    """What comes out for member j, from the cosines that stand in `basis`."""
    basis[j, :, basis.size(2) - 2 :].copy_(line)
    torch.bmm(mix[j], basis[j], out=found[j])


def _unmixed_of(
    sines: Tensor,
    grads: Tensor,
    line: Tensor,
    turns: Tensor,
    mix: Tensor,
    basis: Tensor,
    for_mix: Tensor,
    for_turns: Tensor,
    for_line: Tensor | None,
    j: int,
) -> None:
    """Gradients of member j from those of what came out; `sines` are overwritten."""
    count = sines.size(1)
    grad = grads[j].contiguous().view(mix.size(1), mix.size(2), line.size(2))
    torch.bmm(grad, basis[j].transpose(1, 2), out=for_mix[j])
    sines.mul_(torch.bmm(mix[j, :, 1:, :count].transpose(1, 2), grad[:, 1:]))
    torch.bmm(sines, line.transpose(1, 2), out=for_turns[j])
    if for_line is not None:
        along = torch.bmm(turns[j, :, :, :1].transpose(1, 2), sines).squeeze(1)
        torch.sub(grad[:, 0], along, out=for_line[j])


_mixed, _unmixed = Compiled(_mixed_of), Compiled(_unmixed_of)


def _differentiable(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients, with their graph."""
    inputs = ctx.saved_tensors[:5]
    wanted = [value for value, needed in zip(inputs, ctx.needs_input_grad, strict=True) if needed]
    found = iter(torch.autograd.grad(plain_waves(*inputs), wanted, grad, create_graph=True))
    return tuple(next(found) if needed else None for needed in ctx.needs_input_grad)


def _wave(which: Literal["cos", "sin"], angles: Tensor, out: Tensor) -> None:
    """Cosines or sines of angles, written to `out`."""
    if torch.get_num_threads() <= SERIAL:
        function = np.cos if which == "cos" else np.sin
        function(angles.numpy(), out=out.numpy())
    else:
        kernel = torch.cos if which == "cos" else torch.sin
        kernel(angles, out=out)
