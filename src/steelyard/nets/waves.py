"""Cosines of numeric columns, mixed column by column: what a periodic embedding computes, forward and back.

With `a = 2 pi (w x + b)` the numbers of a column are `[x, A cos(a) + c]`. Written with plain tensor functions this reads and
writes the `[N, d, K]` angles some ten times. On the CPU the rows lie side by side instead, `[d, K, N]`, so that all of it but
the angles and cosines is small matrix products, a column each: what comes out is
`[A, 1, c] @ [cos(a), x, 1]`, and the gradients are the same products the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from steelyard.core.side_by_side import Compiled, side_by_side
from steelyard.core.stacked_layers import is_plain

SERIAL = 3
"""Threads of torch up to which numpy, which uses one, has the cosines first: its own are three times as fast."""
AT_ONCE = 1 << 18
"""Angles that are made at once, at most, where there are several members."""
TURN = 2 * math.pi  # written out below where TorchScript, which knows no names of ours, has to know it


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
    numbers = [value if frequency.ndim == 3 else value.unsqueeze(0) for value in (frequency, phase, weight, bias)]
    found: Tensor = Waves.apply(MemberWaves(numeric, *numbers), numeric, *numbers)  # type: ignore[no-untyped-call]
    return found if frequency.ndim == 3 else found.squeeze(0)


def source_of(numeric: Tensor, frequency: Tensor, phase: Tensor, weight: Tensor, bias: Tensor) -> MemberWaves | None:
    """`waves` of members, to be made some members at a time; None where they are made another way."""
    if frequency.ndim != 3 or not _is_plain(numeric, frequency):
        return None
    return MemberWaves(numeric, frequency, phase, weight, bias)


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


class MemberWaves:
    """`waves` of members on the CPU, some members at a time: a source for `core.stacked_smooth`.

    Args:
        numbers: x, and w, b, A and c of members, as in `waves`.

    Attributes:
        numbers: as given.
        shape: `[k, N, d * (v + 1)]`.
    """

    def __init__(self, *numbers: Tensor) -> None:
        self.numbers = numbers
        keep = torch.is_grad_enabled() and any(value.requires_grad for value in numbers)
        numeric, frequency, _, weight, _ = numbers
        (many, columns, count), rows = frequency.shape, len(numeric)
        self.shape = many, rows, columns * (weight.shape[-1] + 1)
        with torch.no_grad():
            self._line = numeric.new_ones(columns, 2, rows)  # [x, 1]
            self._line[:, 0] = numeric.T
            # Of all members where gradients will want it; else it is let go with those that are asked for.
            self._basis = numeric.new_empty(many, columns, count + 2, rows) if keep else None

    def members(self, first: int, last: int) -> Sequence[Tensor]:
        """What comes out for some of the members, `[N, d * (v + 1)]`: the numbers of a column lie side by side."""
        _, frequency, phase, weight, bias = self.numbers
        found: list[Tensor] = []
        angles = None
        for begin, end in _ranges(first, last, frequency, self.shape[1]):
            angles = _angles(frequency, phase, self._line, angles, begin, end)
            basis = _basis(self._basis, angles, begin, end)
            _wave("cos", angles, basis)
            found += _mixed(basis, self._line, weight, bias, begin, end)
        return found

    def take(self) -> list[Tensor]:
        """What stands for x, and the cosines, where they were kept."""
        if self._basis is None:
            return []
        taken, self._basis = [self._line, self._basis], None
        return taken

    def way_back(self, taken: Sequence[Tensor], asked: Sequence[bool]) -> _WavesBack:
        """For gradients of the parameters, and of the columns only where they are asked for."""
        line, basis = taken
        return _WavesBack(line, basis, [value.detach() for value in self.numbers[1:4]], columns=asked[0])

    def plain(self) -> Tensor:
        """`plain_waves`."""
        return plain_waves(*self.numbers)


class _WavesBack:
    """Gradients of `MemberWaves`, of one pass back."""

    def __init__(self, line: Tensor, basis: Tensor, numbers: Sequence[Tensor], *, columns: bool) -> None:
        self._line, self._basis, self._numbers = line, basis, numbers
        (many, size, count, out), rows, empty = numbers[2].shape, line.shape[2], line.new_empty
        self._for_weight, self._for_bias = empty(many, size, out, count), empty(many, size, out)
        self._for_turns = empty(many, size, 2, count)  # of frequencies and phases
        self._for_line = empty(many, size, rows) if columns else None

    def members(self, first: int, across: Sequence[Tensor]) -> None:
        """Take the gradients of some of the members, `[d * (v + 1), N]` each."""
        frequency, phase, weight = self._numbers
        angles = None
        for begin, end in _ranges(first, first + len(across), frequency, self._line.shape[2]):
            angles = _angles(frequency, phase, self._line, angles, begin, end)
            _wave("sin", angles, angles)
            _unmixed(
                angles, across[begin - first : end - first], self._line, frequency, weight, self._basis,
                self._for_weight, self._for_bias, self._for_turns, self._for_line, begin, end,
            )  # fmt: skip

    def gradients(self) -> tuple[Tensor | None, ...]:
        """Of the columns, where they are asked for, and of the parameters."""
        return (
            None if self._for_line is None else self._for_line.sum(0).T,
            self._for_turns[:, :, 0],
            self._for_turns[:, :, 1],
            self._for_weight.mT,
            self._for_bias,
        )


class Waves(torch.autograd.Function):
    """`waves` of members on the CPU."""

    @staticmethod
    def forward(ctx: Any, source: MemberWaves, *numbers: Tensor) -> Tensor:
        """`[k, N, d * (v + 1)]`."""
        many, rows, width = source.shape
        if many == 1:  # need not be copied
            result = source.members(0, 1)[0].unsqueeze(0)
        else:
            found = numbers[0].new_empty(many, width, rows)

            def work(first: int, last: int) -> None:
                for j, own in enumerate(source.members(first, last), first):
                    found[j].copy_(own.t())

            side_by_side(work, many)
            result = found.transpose(1, 2)
        ctx.source, ctx.count = source, len(numbers)
        ctx.save_for_backward(*numbers, *source.take())
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Of the columns, where somebody asks for them, and of the parameters."""
        numbers, taken = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        if torch.is_grad_enabled():  # to be differentiated again
            return None, *_differentiable(ctx.needs_input_grad[1:], numbers, grads[0])
        across, back = grads[0].transpose(1, 2), ctx.source.way_back(taken, ctx.needs_input_grad[1:])

        def work(first: int, last: int) -> None:
            back.members(first, list(across[first:last]))

        side_by_side(work, len(across))
        return None, *back.gradients()


def _angles_of(frequency: Tensor, phase: Tensor, line: Tensor, before: Tensor | None, begin: int, end: int) -> Tensor:
    """Angles of the members from `begin` to `end`, `[., d, K, N]`, where those before them stood, which is in the cache."""
    turn = 2 * math.pi
    by, more = frequency[begin:end].unsqueeze(-1) * turn, phase[begin:end].unsqueeze(-1) * turn
    if before is None:
        out = line.new_empty([end - begin, by.size(1), by.size(2), line.size(2)])
    else:
        out = before[: end - begin]
    return torch.mul(by, line[:, :1], out=out).add_(more)


def _basis_of(basis: Tensor | None, angles: Tensor, begin: int, end: int) -> Tensor:
    """Where the cosines of the members from `begin` to `end` belong, `[., d, K + 2, N]`; a new place if there is none."""
    if basis is None:
        return angles.new_empty([end - begin, angles.size(1), angles.size(2) + 2, angles.size(3)])
    return basis[begin:end]


def _mixed_of(basis: Tensor, line: Tensor, weight: Tensor, bias: Tensor, begin: int, end: int) -> list[Tensor]:
    """What comes out for the members from `begin` to `end`, from the cosines that stand in `basis`."""
    count = weight.size(2)
    basis[:, :, count:].copy_(line)
    mix = weight.new_zeros([end - begin, weight.size(1), weight.size(3) + 1, count + 2])  # of cosines, x and 1
    mix[:, :, 0, count] = 1
    mix[:, :, 1:, :count] = weight[begin:end].transpose(2, 3)
    mix[:, :, 1:, count + 1] = bias[begin:end]
    every = torch.bmm(mix.flatten(0, 1), basis.flatten(0, 1)).unflatten(0, [end - begin, -1]).flatten(1, 2)
    return [own.t() for own in every.unbind(0)]


def _unmixed_of(
    sines: Tensor,
    across: list[Tensor],
    line: Tensor,
    frequency: Tensor,
    weight: Tensor,
    basis: Tensor,
    for_weight: Tensor,
    for_bias: Tensor,
    for_turns: Tensor,
    for_line: Tensor | None,
    begin: int,
    end: int,
) -> None:
    """Gradients of the members from `begin` to `end` from those of what came out.

    For frequencies and phases, the sines are summed up with each number that came out, before these are mixed: so nothing as
    large as the sines is made.
    """
    out, count, turn = weight.size(3), weight.size(2), 2 * math.pi
    for at, own in enumerate(across):
        j = begin + at
        grad = own.contiguous().view(line.size(0), out + 1, line.size(2))
        bent = grad[:, 1:]
        torch.bmm(bent, basis[j, :, :count].transpose(1, 2), out=for_weight[j])
        torch.sum(bent, [2], out=for_bias[j])
        both = torch.bmm(torch.cat([bent * line[:, :1], bent], 1), sines[at].transpose(1, 2))
        mixed = both.view(-1, 2, out, count).mul_(weight[j].transpose(1, 2).unsqueeze(1))
        torch.sum(mixed, [2], out=for_turns[j]).mul_(-turn)
        if for_line is not None:
            slopes = torch.bmm(weight[j], bent).mul_(sines[at])
            through = torch.bmm(frequency[j].unsqueeze(1), slopes).squeeze(1).mul_(turn)
            torch.sub(grad[:, 0], through, out=for_line[j])


_angles, _basis, _mixed, _unmixed = Compiled(_angles_of), Compiled(_basis_of), Compiled(_mixed_of), Compiled(_unmixed_of)


def _ranges(first: int, last: int, frequency: Tensor, rows: int) -> Iterator[tuple[int, int]]:
    """Of members: as many at once as make a call worth it, and as the cache holds the angles of."""
    step = max(1, AT_ONCE // max(1, frequency.shape[1] * frequency.shape[2] * rows))
    for begin in range(first, last, step):
        yield begin, min(begin + step, last)


def _differentiable(asked: Sequence[bool], numbers: Sequence[Tensor], grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients, with their graph."""
    wanted = [value for value, needed in zip(numbers, asked, strict=True) if needed]
    found = iter(torch.autograd.grad(plain_waves(*numbers), wanted, grad, create_graph=True))
    return tuple(next(found) if needed else None for needed in asked)


def _wave(which: Literal["cos", "sin"], angles: Tensor, out: Tensor) -> None:
    """Cosines or sines of angles `[., d, K, N]`, written to the first K of `out`."""
    if torch.get_num_threads() <= SERIAL:
        function = np.cos if which == "cos" else np.sin
        function(angles.numpy(), out=out.numpy()[:, :, : angles.shape[2]])
    else:
        kernel = torch.cos if which == "cos" else torch.sin
        kernel(angles, out=out[:, :, : angles.shape[2]])
