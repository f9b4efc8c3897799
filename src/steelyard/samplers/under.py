"""As many rows of every class as the smallest one has."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from steelyard.core.grouping import LabelsLike, as_labels, group_rows
from steelyard.core.rows import Clock
from steelyard.core.sampler import Sampler
from steelyard.core.seeds import generator

CHUNK = 1 << 16
"""Rows that are drawn at a time, at least; each chunk has a seed of its own, so that resuming costs one chunk at most."""


class UnderSampler(Sampler):
    """Draws rounds in which every class has as many rows as the smallest one, without replacement, in random order.

    With n the rows of the smallest class and K the classes that have rows, a round is K n rows. Within a round no row comes
    twice, and the next round draws anew, so that over many rounds the rows of large classes are all seen. An epoch is as many
    draws as there are rows, however many rounds that makes, so that epochs cost the same under every sampler;
    `num_samples = K n` is the classical epoch of one round.

    Args:
        targets: class of each row `[N]`, integers 0..C-1; a class without rows is left out.
        num_samples: rows drawn in an epoch over all processes, >= 1; None for N.
        seed: epochs of one seed are always the same.
        rank: this process, 0 <= rank < world_size.
        world_size: processes that share the epoch.

    Attributes:
        class_counts: rows of each class `[C]`, int64.
        round: rows of a round, K n.

    Raises:
        ArgumentError: targets that are not class labels, num_samples < 1, or a rank outside the world.

    Reference:
        Classical; rounds that each see other rows of the large classes: Liu, Wu, Zhou: Exploratory undersampling for
        class-imbalance learning, 2009.

    Departures:
        none; consecutive rounds share no row of a class until it is used up (its last rows, fewer than n, are left out).

    Example:
        >>> sampler = UnderSampler([0] * 90 + [1] * 10)
        >>> first = next(sampler.batches(sampler.round))
        >>> len(first.unique()), int((first >= 90).sum())
        (20, 10)
    """

    def __init__(
        self, targets: LabelsLike, num_samples: int | None = None, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        labels = as_labels(targets)
        super().__init__(len(labels) if num_samples is None else num_samples, seed, rank, world_size)
        self._grouped = group_rows(labels)
        self.class_counts = self._grouped.counts
        present = self.class_counts.nonzero().flatten()
        self._sizes = self.class_counts[present].tolist()
        self._offsets = self._grouped.offsets[present].tolist()
        self._smallest = min(self._sizes)
        self.round = len(self._sizes) * self._smallest
        # Dealing a large class costs its size, whatever the chunk: sixteen chunks an epoch bound that for the largest data.
        self._rounds = max(1, max(CHUNK, len(labels) // 16) // self.round)

    def chunks(self, clock: Clock, start: int) -> Iterator[Tensor]:
        """This process's rows of the epoch from its `start`-th on, whole rounds at a time."""
        total = len(self) * self.world_size
        size = self._rounds * self.round
        position = start * self.world_size + self.rank
        while position < total:
            chunk, first = divmod(position, size)
            drawn = self._draw(generator(self.seed, "under", clock.epoch, chunk)).flatten()
            mine = drawn[: total - chunk * size][first :: self.world_size]
            yield mine
            position += len(mine) * self.world_size

    def _draw(self, stream: torch.Generator) -> Tensor:
        """The rounds of a chunk `[rounds, K n]`."""
        rounds, columns = self._rounds, []
        for size, offset in zip(self._sizes, self._offsets, strict=True):
            hands = size // self._smallest  # rounds before the class is used up
            deals = -(-rounds // hands)
            if deals == 1:
                order = torch.randperm(size, generator=stream)[None]
            else:
                order = torch.rand(deals, size, dtype=torch.float64, generator=stream).argsort(1)
            hand = order[:, : hands * self._smallest].reshape(-1, self._smallest)[:rounds]
            columns.append(self._grouped.order[hand + offset].to(torch.int64))
        order = torch.rand(rounds, self.round, dtype=torch.float64, generator=stream).argsort(1)
        return torch.cat(columns, 1).gather(1, order)
