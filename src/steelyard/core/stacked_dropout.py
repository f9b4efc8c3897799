"""Dropout of many members on the CPU: 16 bits a number, drawn 64 at a time, and used for several members."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LEVELS = 1 << 16
"""Numbers that 16 bits have: a share is rounded to a multiple of 2^-16."""
TOGETHER = 4
"""Members that have the same numbers."""


@dataclass(frozen=True)
class Drops:
    """Dropout of layers in a row, for all members.

    `TOGETHER` members have the same numbers, each from another place on. To each of them its own are independent, as those that
    it would draw alone; what two members have in common stands in other places of theirs: at other units, but for layers of
    very few.

    Attributes:
        shares: how much each layer drops, 0 for nothing.
        widths: units of each layer.
        rows: that all layers have.
        seeds: of each group of members.
    """

    shares: Sequence[float]
    widths: Sequence[int]
    rows: int
    seeds: Sequence[int]

    @classmethod
    def draw(cls, shares: Sequence[float], widths: Sequence[int], rows: int, members: int) -> Drops:
        """Seeds of their own for the groups of members, where something is dropped."""
        groups = -(-members // TOGETHER)
        return cls(shares, widths, rows, new_seeds(groups) if any(shares) else [0] * groups)

    @property
    def levels(self) -> list[float]:
        """Of each layer."""
        return [level(share) for share in self.shares]

    @property
    def factors(self) -> list[float]:
        """Of each layer."""
        return [factor(share) for share in self.shares]

    def drawn(self, first: int, last: int) -> list[list[Tensor]]:
        """Of each group that has members from `first` to `last`, layer by layer, what `part_of` takes (see `drawn`)."""
        more = TOGETHER - 1
        sizes = [torch.Size([self.rows * width + more * _step(width)]) for width in self.widths]
        return [drawn(self.seeds[group], sizes, self.shares) for group in range(first // TOGETHER, -(-last // TOGETHER))]


def part_of(layer: Tensor, member: int, together: int, rows: int, width: int) -> Tensor:
    """What a member has of what is drawn for its group, or of what was made of it, `[rows, width]`; nothing of nothing.

    For TorchScript, too. `together` is `TOGETHER`.
    """
    begin = member % together * _step(width)
    return layer[begin : begin + rows * width].view(rows, width) if layer.numel() > 0 else layer


def _step(width: int) -> int:
    """From where the numbers of a member begin to where those of the next one do."""
    return width // 2 + 1


def kept(shape: torch.Size, share: float) -> Tensor:
    """0 with probability `share`, else `1 / (1 - share)`, float32 on the CPU; `share` to a multiple of 2^-16, below 1.

    By a generator that is faster than torch's, and seeded by torch's global one.

    Example:
        >>> kept(torch.Size([4]), 0.0)
        tensor([1., 1., 1., 1.])
    """
    (seed,) = new_seeds(1)
    (found,) = drawn(seed, [shape], [share])
    if not len(found):
        return torch.ones(shape)
    return found.float().sub_(level(share)).clamp_(0, 1).mul_(factor(share))


def new_seeds(count: int) -> list[int]:
    """Seeds for `drawn`, from torch's global generator."""
    found: list[int] = torch.empty(count, dtype=torch.int64).random_().tolist()
    return found


def drawn(seed: int, shapes: Sequence[torch.Size], shares: Sequence[float]) -> list[Tensor]:
    """Whole numbers from -2^15 to 2^15 - 1, evenly, int16 on the CPU: of those up to `level(share)` there is that share.

    Args:
        seed: of all of them.
        shapes: of what is wanted.
        shares: the share of each; where it is 0, nothing is drawn, and there are no numbers.
    """
    sizes = [shape.numel() if _dropped(share) else 0 for shape, share in zip(shapes, shares, strict=True)]
    if not any(sizes):
        return [torch.empty(0, dtype=torch.int16)] * len(sizes)
    # By numpy, which keeps the interpreter while it cuts: threads that give it away at each call wait for each other.
    numbers: np.ndarray = np.random.SFC64(seed).random_raw(-(-sum(sizes) // 4)).view(np.int16)
    ends = itertools.accumulate(sizes)
    return [
        torch.from_numpy(numbers[end - size : end].reshape(shape if size else 0))
        for shape, size, end in zip(shapes, sizes, ends, strict=True)
    ]


def level(share: float) -> float:
    """The largest of the numbers drawn that stands for dropping."""
    return float(_dropped(share) - LEVELS // 2 - 1)


def factor(share: float) -> float:
    """What is kept is multiplied by it."""
    return LEVELS / (LEVELS - _dropped(share))


def _dropped(share: float) -> int:
    return min(round(share * LEVELS), LEVELS - 1)
