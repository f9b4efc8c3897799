"""Drawing the class first and then a row of it: O(1) a draw after O(N) set-up, for any number of rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.grouping import LabelsLike, as_labels, group_rows
from steelyard.core.rows import Clock
from steelyard.core.sampler import Sampler
from steelyard.core.seeds import generator
from steelyard.samplers.alias import AliasTable

# Positions of the epoch that are drawn at a time. Each chunk has seeds of its own, so that resuming costs one chunk at most;
# 2^16 doubles stay in the processor's cache, which makes drawing three times as fast as with chunks of 2^20.
CHUNK = 1 << 16


class ClassSampler(Sampler):
    """Base of samplers that draw a class with a probability of their own and then one of its rows uniformly, with replacement.

    A subclass says how likely each class is, in `class_probabilities`; classes without rows must get 0. Position i of epoch e
    is a function of (seed, e, i) alone, whatever the number of processes.

    Args:
        targets: class of each row `[N]`, integers 0..C-1.
        num_samples: rows drawn in an epoch over all processes; None for N.
        seed: epochs of one seed are always the same.
        rank: this process, 0 <= rank < world_size.
        world_size: processes that share the epoch.

    Attributes:
        class_counts: rows of each class `[C]`, int64.

    Raises:
        ArgumentError: targets that are not class labels, num_samples < 1, or a rank outside the world.
    """

    def __init__(
        self, targets: LabelsLike, num_samples: int | None = None, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        labels = as_labels(targets)
        super().__init__(len(labels) if num_samples is None else num_samples, seed, rank, world_size)
        self._grouped = group_rows(labels)
        self.class_counts = self._grouped.counts
        self._present = self.class_counts.nonzero().flatten()
        self._sizes = self.class_counts[self._present].to(torch.float64)
        self._offsets = self._grouped.offsets[self._present]

    @abstractmethod
    def class_probabilities(self, clock: Clock | None = None) -> Tensor:
        """How likely each class is at that time `[C]`, float64, summing to 1; at the start where no clock is given."""

    def chunks(self, clock: Clock, start: int) -> Iterator[Tensor]:
        """This process's rows of the epoch from its `start`-th on, about CHUNK / world_size at a time."""
        table = AliasTable(self.class_probabilities(clock)[self._present])
        total = len(self) * self.world_size
        position = start * self.world_size + self.rank
        while position < total:
            chunk, first = divmod(position, CHUNK)
            length = min(CHUNK, total - chunk * CHUNK)
            mine = slice(first, length, self.world_size)
            drawn = self._rows(
                table,
                self._uniform("class", clock.epoch, chunk, length)[mine],
                self._uniform("row", clock.epoch, chunk, length)[mine],
            )
            yield drawn
            position += len(drawn) * self.world_size

    def _uniform(self, what: str, epoch: int, chunk: int, length: int) -> Tensor:
        # Double precision: 53 random bits choose among n rows with a bias of at most n / 2^53; single precision has 24 bits
        # and could not even name every row of a large class.
        return torch.rand(length, dtype=torch.float64, generator=generator(self.seed, "draw", what, epoch, chunk))

    def _rows(self, table: AliasTable, for_class: Tensor, for_row: Tensor) -> Tensor:
        label = table.draw(for_class)
        # floor(u n) < n for every u < 1 on the 53-bit grid, so this never runs into the next class.
        place = (for_row * self._sizes.index_select(0, label)).to(torch.int64)
        place += self._offsets.index_select(0, label)
        return self._grouped.order.index_select(0, place).to(torch.int64)


def stage_fraction(clock: Clock, epochs: int | None) -> float:
    """Share of the training that is done, in [0, 1], by the sampler's own number of epochs or else by the clock's.

    Raises:
        ArgumentError: neither says how long training takes, and it is past its first epoch.
    """
    if epochs is not None:
        return min(clock.epoch / epochs, 1.0)
    if clock.epoch >= max(clock.epochs, 1):
        # Without a clock we are at epoch 0 of an unknown number; going on would mean guessing when to change.
        expected = "the number of epochs of the training, which iterating without a clock needs"
        raise ArgumentError("epochs", expected, f"None in epoch {clock.epoch}")
    return clock.fraction


def check_epochs(epochs: int | None) -> int | None:
    """Refuse a training of no epochs."""
    if epochs is not None and epochs < 1:
        raise ArgumentError("epochs", "at least 1, or None for the clock's own count", epochs)
    return epochs


def natural(class_counts: Tensor) -> Tensor:
    """Classes as likely as they are frequent: n_c / N, float64 `[C]`."""
    return class_counts.to(torch.float64) / class_counts.sum()


def balanced(class_counts: Tensor) -> Tensor:
    """Every class that has rows equally likely, float64 `[C]`."""
    seen = (class_counts > 0).to(torch.float64)
    return seen / seen.sum()
