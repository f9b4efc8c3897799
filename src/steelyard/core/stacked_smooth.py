"""Linear layers, SiLU and dropout in a row for several members: one member after another, in the cache of a core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.side_by_side import Compiled, side_by_side
from steelyard.core.stacked_dropout import TOGETHER, Drops, part_of
from steelyard.core.stacked_products import least, multiply, weight_gradient

DROPPED = -1e19
"""A hidden value below it stands for dropping: SiLU and its derivative are 0 there."""


class WayBack(Protocol):
    """Gradients of a source, of one pass back."""

    def members(self, first: int, across: Sequence[Tensor]) -> None:
        """Take the gradients of the members from `first` on, `[width, N]` each. Called by threads, once for each member."""
        ...

    def gradients(self) -> Sequence[Tensor | None]:
        """Of the source's numbers, when those of all members are there; at least of those asked for."""
        ...


class Source(Protocol):
    """Where the numbers that go into the first layer come from."""

    @property
    def numbers(self) -> Sequence[Tensor]:
        """Tensors that may want a gradient."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """`[k, N, width]`."""
        ...

    def members(self, first: int, last: int) -> Sequence[Tensor]:
        """The numbers of the members from `first` to `last`, `[N, width]` each. Called by threads, once for each member."""
        ...

    def take(self) -> Sequence[Tensor]:
        """What a way back will want beside `numbers`; it is not held here any longer."""
        ...

    def way_back(self, taken: Sequence[Tensor], asked: Sequence[bool]) -> WayBack:
        """For gradients of those of `numbers` that somebody asks for."""
        ...

    def plain(self) -> Tensor:
        """The numbers `[k, N, width]` by plain functions of `numbers`, to be differentiated as often as wanted."""
        ...


class Given:
    """A source of numbers that are there.

    Args:
        inputs: `[k, N, width]`.
    """

    def __init__(self, inputs: Tensor) -> None:
        self.numbers = (inputs,)
        self.shape = (inputs.shape[0], inputs.shape[1], inputs.shape[2])

    def members(self, first: int, last: int) -> Sequence[Tensor]:
        """See `Source`."""
        return list(self.numbers[0][first:last])

    def take(self) -> Sequence[Tensor]:
        """See `Source`."""
        return ()

    def way_back(self, taken: Sequence[Tensor], asked: Sequence[bool]) -> WayBack:
        """See `Source`."""
        many, rows, width = self.shape
        return _Gathered(self.numbers[0].new_empty(many, width, rows))

    def plain(self) -> Tensor:
        """See `Source`."""
        return self.numbers[0]


class _Gathered:
    """The gradient of what was given."""

    def __init__(self, found: Tensor) -> None:
        self._found = found

    def members(self, first: int, across: Sequence[Tensor]) -> None:
        """See `WayBack`."""
        for j, own in enumerate(across, first):
            self._found[j].copy_(own)

    def gradients(self) -> Sequence[Tensor]:
        """See `WayBack`."""
        return (self._found.transpose(1, 2),)


def smooth(source: Source, shares: Sequence[float], numbers: Sequence[Tensor]) -> Tensor:
    """Linear, SiLU and dropout, over and over, for all members, `[k, N, o]`; behind them one linear layer more, or none.

    Args:
        source: of what goes in.
        shares: how much each layer drops, 0 for nothing.
        numbers: layer by layer weight `[k, o, i]` and bias `[k, o]`; of the layer more, too, if there is one.

    Example:
        >>> inputs, weight, bias = torch.zeros(2, 5, 3), torch.ones(2, 4, 3), torch.zeros(2, 4)
        >>> smooth(Given(inputs), (0.0,), (weight, bias)).shape
        torch.Size([2, 5, 4])
    """
    every = (*source.numbers, *numbers)
    keep = torch.is_grad_enabled() and any(value.requires_grad for value in every)
    found: Tensor = Smooth.apply(source, shares, keep, *every)  # type: ignore[no-untyped-call]
    return found


class Smooth(torch.autograd.Function):
    """See `smooth`."""

    @staticmethod
    def forward(ctx: Any, source: Source, shares: Sequence[float], keep: bool, *numbers: Tensor) -> Tensor:
        """The last layer's output."""
        (many, rows, _), enough = source.shape, least()
        own = list(numbers[len(source.numbers) :])
        found = own[0].new_empty(many, rows, own[-1].shape[1])
        drops = Drops.draw(shares, [bias.shape[1] for bias in own[1 : 2 * len(shares) : 2]], rows, many)
        factors, levels = drops.factors, drops.levels

        def work(first: int, last: int) -> list[list[Tensor]]:
            drawn, inputs = drops.drawn(first, last), source.members(first, last)
            part: list[list[Tensor]] = _forward(inputs, own, drawn, levels, TOGETHER, factors, keep, found, first, enough)
            return part

        ctx.kept = [kept for part in side_by_side(work, many) for kept in part]
        ctx.source, ctx.factors, ctx.count = source, factors, len(numbers)
        ctx.save_for_backward(*numbers, *source.take())
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of those numbers that somebody asks for."""
        source, (_, _, _, *asked) = ctx.source, ctx.needs_input_grad
        begin, enough = len(source.numbers), least()
        own, taken = list(ctx.saved_tensors[begin : ctx.count]), ctx.saved_tensors[ctx.count :]
        if torch.is_grad_enabled():  # to be differentiated again
            return _differentiable(ctx, asked, own, grads[0])
        further = any(asked[:begin])
        lowest = 0 if further else asked[begin:].index(True) // 2
        found = [torch.empty_like(value) for value in own]
        back = source.way_back(taken, asked[:begin]) if further else None

        def work(first: int, last: int) -> None:
            across = _backward(own, ctx.kept[first:last], grads[0], ctx.factors, lowest, further, found, first, enough)
            if back is not None:
                back.members(first, across)

        side_by_side(work, len(grads[0]))
        before = [None] * begin if back is None else back.gradients()
        every = zip((*before, *found), asked, strict=True)
        return None, None, None, *(value if needed else None for value, needed in every)


def _forward_of(
    inputs: list[Tensor],
    numbers: list[Tensor],
    drawn: list[list[Tensor]],
    levels: list[float],
    together: int,
    factors: list[float],
    keep: bool,
    found: Tensor,
    first: int,
    enough: int,
) -> list[list[Tensor]]:
    """Of the members from `first` on.

    Where they are to be kept, gives of each member, layer by layer, its input and its hidden values.
    """
    kept: list[list[Tensor]] = []
    limits: list[Tensor] = []
    for at, values in enumerate(inputs):
        j = first + at
        if at == 0 or j % together == 0:
            group = drawn[j // together - first // together]
            limits = [_limit(layer, levels[i], found) for i, layer in enumerate(group)]
        own = [part_of(limit, j, together, values.size(0), numbers[2 * i].size(1)) for i, limit in enumerate(limits)]
        kept.append(_of_member(values, numbers, own, factors, keep, found, j, enough))
    return kept


def _limit(drawn: Tensor, level: float, like: Tensor) -> Tensor:
    """What hidden values may be at most: far below 0 where they are dropped, far above it elsewhere."""
    return drawn.to(like.dtype).sub_(level + 0.5).mul_(1e20)


def _of_member(
    inputs: Tensor,
    numbers: list[Tensor],
    limits: list[Tensor],
    factors: list[float],
    keep: bool,
    found: Tensor,
    j: int,
    enough: int,
) -> list[Tensor]:
    kept: list[Tensor] = []
    values, layers = inputs, len(limits)
    for at in range(layers):
        hidden = multiply(values, _scaled(numbers[2 * at][j], factors, at), numbers[2 * at + 1][j], enough)
        if limits[at].numel() > 0:
            torch.minimum(hidden, limits[at], out=hidden)
        if keep:
            kept.append(values)
            kept.append(hidden)
        values = found[j] if 2 * at + 2 == len(numbers) else torch.empty_like(hidden)
        torch.ops.aten.silu(hidden, out=values)
    if 2 * layers < len(numbers):
        if keep:
            kept.append(values)
        weight = _scaled(numbers[2 * layers][j], factors, layers)
        found[j].copy_(multiply(values, weight, numbers[2 * layers + 1][j], enough))
    elif factors[layers - 1] != 1:
        values.mul_(factors[layers - 1])
    return kept


def _backward_of(
    numbers: list[Tensor],
    kept: list[list[Tensor]],
    grads: Tensor,
    factors: list[float],
    lowest: int,
    further: bool,
    found: list[Tensor],
    first: int,
    enough: int,
) -> list[Tensor]:
    """Of the members from `first` on, of the layers down to the lowest, written to `found`.

    Gives those of their inputs `[width, N]`, where they are wanted further.
    """
    return [
        _back_of_member(numbers, own, grads, factors, lowest, further, found, first + at, enough) for at, own in enumerate(kept)
    ]


def _back_of_member(
    numbers: list[Tensor],
    kept: list[Tensor],
    grads: Tensor,
    factors: list[float],
    lowest: int,
    further: bool,
    found: list[Tensor],
    j: int,
    enough: int,
) -> Tensor:
    count, layers = len(numbers) // 2, len(factors)
    grad = grads[j]
    if count == layers and factors[layers - 1] != 1:
        grad = grad * factors[layers - 1]
    for back in range(count - lowest):
        at = count - 1 - back
        if at < count - 1:
            torch.ops.aten.silu_backward(grad, kept[2 * at + 1], grad_input=grad)
        elif at < layers:
            grad = torch.ops.aten.silu_backward(grad, kept[2 * at + 1])
        found[2 * at][j].copy_(_scaled(weight_gradient(grad, kept[2 * at], enough), factors, at))
        torch.sum(grad, [0], out=found[2 * at + 1][j])
        if at > lowest:
            grad = multiply(grad, _scaled(numbers[2 * at][j], factors, at).t(), None, enough)
        elif further:
            grad = multiply(numbers[0][j].t(), grad, None, enough)
    return grad


def _scaled(weight: Tensor, factors: list[float], at: int) -> Tensor:
    """Of layer `at`, multiplied by what dropout makes of what it keeps of the layer before."""
    return weight * factors[at - 1] if at > 0 and factors[at - 1] != 1 else weight


_forward, _backward = Compiled(_forward_of), Compiled(_backward_of)


def _differentiable(ctx: Any, asked: Sequence[bool], own: Sequence[Tensor], grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients, with their graph."""
    values = ctx.source.plain()
    for at in range(len(own) // 2):
        weight, bias = own[2 * at], own[2 * at + 1]
        values = torch.baddbmm(bias.unsqueeze(1), values, weight.transpose(1, 2))
        if at < len(ctx.factors):
            values = F.silu(values)
            if ctx.factors[at] != 1:
                hidden = torch.stack([kept[2 * at + 1] for kept in ctx.kept])
                values = values * (hidden > DROPPED) * ctx.factors[at]
    wanted = [value for value, needed in zip((*ctx.source.numbers, *own), asked, strict=True) if needed]
    found = iter(torch.autograd.grad(values, wanted, grad, create_graph=True))
    return None, None, None, *(next(found) if needed else None for needed in asked)
