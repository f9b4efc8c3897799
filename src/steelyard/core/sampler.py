"""What a sampler is: which rows are drawn, in which order, as a pure function of (seed, epoch).

A sampler belongs to one process of `world_size`; the processes' rows of an epoch interleave (position i of the epoch goes to
process i mod world_size), so that together the processes draw what one process would.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain
from operator import index, length_hint
from typing import Protocol

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Clock
from steelyard.core.seeds import generator

# Rows that become Python ints at a time.
PIECE = 1 << 16


class Sampler(ABC):
    """Row indices, one epoch after another.

    Iterating gives this process's row indices of the current epoch as ints and then moves to the next epoch, so a
    `DataLoader` can use it as is; `batches` gives index tensors and takes the time as an argument.

    Args:
        num_samples: rows drawn in an epoch, over all processes.
        seed: epochs of one seed are always the same.
        rank: this process, 0 <= rank < world_size.
        world_size: processes that share the work; every process draws ceil(num_samples / world_size) rows.
    """

    def __init__(self, num_samples: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        try:
            num_samples = index(num_samples)
        except TypeError:
            raise ArgumentError("num_samples", "a whole number of rows", num_samples) from None
        if num_samples < 1:
            raise ArgumentError("num_samples", "at least 1", num_samples)
        if world_size < 1:
            raise ArgumentError("world_size", "at least 1", world_size)
        if not 0 <= rank < world_size:
            raise ArgumentError("rank", f"from 0 to world_size - 1 = {world_size - 1}", rank)
        self.num_samples, self.seed, self.rank, self.world_size = num_samples, seed, rank, world_size
        self._epoch = 0
        self._handed_out = 0  # rows of the epoch in the lists given out so far, ...
        self._live: Iterator[int] = iter(())  # ... of which the last may have some left
        self._restored = False

    @abstractmethod
    def chunks(self, clock: Clock, start: int) -> Iterator[Tensor]:
        """This process's rows of epoch `clock.epoch` from its `start`-th on, as LongTensors of any length."""

    def __len__(self) -> int:
        """Rows that this process draws in an epoch."""
        return -(-self.num_samples // self.world_size)

    def batches(self, size: int, clock: Clock | None = None) -> Iterator[Tensor]:
        """Index tensors `[size]` (the last may be shorter) of the epoch of `clock`, from its batch `clock.position` on."""
        if size < 1:
            raise ArgumentError("size", "at least 1", size)
        clock = Clock() if clock is None else clock
        pending: list[Tensor] = []
        missing = size  # rows that the batch under way still lacks
        for chunk in self.chunks(clock, clock.position * size):
            rest = chunk
            if missing < size:  # first finish what the chunk before began
                pending.append(rest[:missing])
                missing -= len(pending[-1])
                if missing:
                    continue
                yield torch.cat(pending)
                rest, pending, missing = rest[len(pending[-1]) :], [], size
            whole = len(rest) - len(rest) % size
            if whole:
                yield from torch.split(rest[:whole], size)
            if whole < len(rest):
                pending.append(rest[whole:])
                missing = size - len(pending[-1])
        if pending:
            yield torch.cat(pending)

    def __iter__(self) -> Iterator[int]:
        """Row indices of the current epoch, from where the last iteration stopped."""
        # Chained lists hand out rows without a Python frame a row; the position is read off the live list when asked for.
        return chain.from_iterable(self._lists())

    def _lists(self) -> Iterator[Iterator[int]]:
        start = self._handed_out = self._position
        self._live = iter(())
        if start >= len(self) and not self._restored:  # every row was taken, but not the end: islice(sampler, len(sampler))
            self._epoch, self._handed_out, start = self._epoch + 1, 0, 0
        self._restored = False
        for chunk in self.chunks(Clock(epoch=self._epoch), start):
            for piece in torch.split(chunk, PIECE):
                rows = piece.tolist()
                self._handed_out += len(rows)
                self._live = iter(rows)
                yield self._live
        self._epoch, self._handed_out = self._epoch + 1, 0

    @property
    def _position(self) -> int:
        return self._handed_out - length_hint(self._live)

    def state_dict(self) -> dict[str, int]:
        """Where iteration stands (epoch, position)."""
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue iteration where `state_dict` was taken."""
        self._epoch, self._handed_out, self._live = state["epoch"], state["position"], iter(())
        self._restored = True


class ShuffledSampler(Sampler):
    """Every row once, in a fresh order each epoch: the identity element of samplers.

    Where more rows are asked for than there are, a second order follows the first, and so on; so it is, too, where
    world_size does not divide the number of rows, so that all processes make equally many steps.
    """

    def __init__(
        self, targets: Tensor, num_samples: int | None = None, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(len(targets) if num_samples is None else num_samples, seed, rank, world_size)
        self.rows = len(targets)

    def chunks(self, clock: Clock, start: int) -> Iterator[Tensor]:
        """One chunk for each pass over the rows."""
        total = len(self) * self.world_size
        first = start * self.world_size + self.rank  # where in the epoch our first row is
        stream = generator(self.seed, "order", clock.epoch)
        for base in range(0, total, self.rows):
            order = torch.randperm(self.rows, generator=stream)
            mine = order[: total - base][max(first - base, (self.rank - base) % self.world_size) :: self.world_size]
            if len(mine):
                yield mine


class SamplerFactory(Protocol):
    """Builds a sampler for the training labels; every sampler class is one."""

    def __call__(self, targets: Tensor, *, seed: int, rank: int, world_size: int) -> Sampler:
        """A sampler of these rows for one process."""
