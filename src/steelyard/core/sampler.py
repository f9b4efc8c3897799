"""What a sampler is: which rows are drawn, in which order, as a pure function of (seed, epoch).

A sampler belongs to one process of `world_size`; the processes' rows of an epoch interleave (position i of the epoch goes to
process i mod world_size), so that together the processes draw what one process would.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Clock
from steelyard.core.seeds import generator


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
        if num_samples < 1:
            raise ArgumentError("num_samples", "at least 1", num_samples)
        if not 0 <= rank < world_size:
            raise ArgumentError("rank", f"from 0 to world_size - 1 = {world_size - 1}", rank)
        self.num_samples, self.seed, self.rank, self.world_size = num_samples, seed, rank, world_size
        self._epoch = 0
        self._position = 0

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
        have = 0
        for chunk in self.chunks(clock, clock.position * size):
            offset = 0
            while have + len(chunk) - offset >= size:
                take = size - have
                pending.append(chunk[offset : offset + take])
                yield pending[0] if len(pending) == 1 else torch.cat(pending)
                offset, pending, have = offset + take, [], 0
            if offset < len(chunk):
                pending.append(chunk[offset:])
                have += len(chunk) - offset
        if pending:
            yield torch.cat(pending)

    def __iter__(self) -> Iterator[int]:
        """Row indices of the current epoch, from where the last iteration stopped."""
        for chunk in self.chunks(Clock(epoch=self._epoch), self._position):
            for row in chunk.tolist():
                self._position += 1
                yield row
        self._epoch, self._position = self._epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """Where iteration stands (epoch, position)."""
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue iteration where `state_dict` was taken."""
        self._epoch, self._position = state["epoch"], state["position"]


class ShuffledSampler(Sampler):
    """Every row once, in a fresh order each epoch: the identity element of samplers.

    Where world_size does not divide the number of rows, the first rows of the order are drawn again so that all processes
    make equally many steps.
    """

    def __init__(
        self, targets: Tensor, num_samples: int | None = None, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(len(targets) if num_samples is None else num_samples, seed, rank, world_size)
        self.rows = len(targets)

    def chunks(self, clock: Clock, start: int) -> Iterator[Tensor]:
        """One chunk: the rest of the epoch."""
        total = len(self) * self.world_size
        stream = generator(self.seed, "order", clock.epoch)
        rounds = -(-total // self.rows)
        order = torch.cat([torch.randperm(self.rows, generator=stream) for _ in range(rounds)])[:total]
        yield order[self.rank :: self.world_size][start:]


class SamplerFactory(Protocol):
    """Builds a sampler for the training labels; every sampler class is one."""

    def __call__(self, targets: Tensor, *, seed: int, rank: int, world_size: int) -> Sampler: ...


