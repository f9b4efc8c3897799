"""Few-shot episodes: some classes, support rows of each, in numbers that may differ, and query rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.grouping import LabelsLike, as_labels, group_rows
from steelyard.core.rows import Clock
from steelyard.core.seeds import derive, generator


class DrawsShots(Protocol):
    """Gives the number of support rows of each class; `steelyard.data.Shots` does."""

    @property
    def most(self) -> int:
        """The largest number it can give."""
        ...

    def __call__(self, classes: int, generator: torch.Generator) -> Tensor:
        """Counts `[classes]`, int64."""
        ...


@dataclass(frozen=True)
class Counts:
    """The same counts in every episode, in random order.

    Attributes:
        counts: support rows, one number for all classes or one a class.
    """

    counts: tuple[int, ...]

    @property
    def most(self) -> int:
        """The largest."""
        return max(self.counts)

    def __call__(self, classes: int, generator: torch.Generator) -> Tensor:
        """Counts `[classes]` in random order."""
        values = torch.tensor(self.counts).expand(classes)
        return values[torch.randperm(classes, generator=generator)]


@dataclass(frozen=True)
class EpisodeRows:
    """An episode as row numbers.

    Attributes:
        classes: the classes of the data that take part `[way]`; label l of the episode is `classes[l]`.
        shots: support rows of each label `[way]`.
        support: row numbers, grouped by label `[sum(shots)]`.
        query: row numbers, grouped by label `[way * queries]`.
        support_label: label of each support row, 0..way-1.
        query_label: label of each query row.
        seed: what the episode was drawn from.
    """

    classes: Tensor
    shots: Tensor
    support: Tensor
    query: Tensor
    support_label: Tensor
    query_label: Tensor
    seed: int

    @property
    def index(self) -> Tensor:
        """All rows, support before query."""
        return torch.cat([self.support, self.query])


class EpisodeSampler:
    """Draws few-shot episodes with any numbers of support rows.

    Episode i of an epoch is a function of (seed, epoch, i) alone, whatever the number of processes. Classes, counts and the
    rows of each class come from streams of their own: two profiles of shots see the same classes and the same queries for one
    seed, and the support of the smaller count is the beginning of that of the larger. Every class has a child seed, so that
    classes of equal size are not drawn in the same order. No row is both support and query.

    Args:
        targets: class of each row `[N]`.
        way: classes of an episode, 2 or more.
        shots: support rows a class: one number, a number for each (they change places from episode to episode), or something
            that draws them, such as `steelyard.data.Shots`.
        queries: query rows a class, 1 or more.
        episodes: in an epoch, over all processes.
        seed: epochs of one seed are always the same.
        world: (rank, world_size) of this process; process r gets the episodes r, r + world_size, ...

    Raises:
        ArgumentError: a number out of range.
        DataError: fewer classes than `way`, or a class with too few rows.

    Reference:
        Ochal et al.: Few-shot learning with class imbalance, IEEE Transactions on Artificial Intelligence 4(5), 2023.

    Departures:
        Released code starts every class of an episode from the same seed, so that classes of equal size are permuted alike,
        and draws the order of the counts from a global generator.

    Example:
        >>> sampler = EpisodeSampler([0] * 6 + [1] * 6 + [2] * 6, way=2, shots=(1, 3), queries=2, episodes=4)
        >>> episode = sampler.episode(0)
        >>> sorted(episode.shots.tolist()), len(episode.query), len(list(sampler))
        ([1, 3], 4, 4)
    """

    def __init__(
        self,
        targets: LabelsLike,
        *,
        way: int = 5,
        shots: int | Sequence[int] | DrawsShots = 5,
        queries: int = 15,
        episodes: int = 100,
        seed: int = 0,
        world: tuple[int, int] = (0, 1),
    ) -> None:
        for name, value, least in (("way", way, 2), ("queries", queries, 1), ("episodes", episodes, 1)):
            if value < least:
                raise ArgumentError(name, f"at least {least}", value)
        if not 0 <= world[0] < world[1]:
            raise ArgumentError("world", "(rank, world_size) with 0 <= rank < world_size", world)
        self.way, self.queries, self.episodes, self.seed, self.world = way, queries, episodes, seed, world
        self.shots = _shots(shots, way)
        self._grouped = group_rows(as_labels(targets))
        self.classes = self._grouped.counts.nonzero().flatten()
        self._check_sizes()
        self._epoch = 0

    def _check_sizes(self) -> None:
        if len(self.classes) < self.way:
            raise DataError(f"{self.way}-way episodes need at least {self.way} classes; there are {len(self.classes)}")
        need, sizes = self.shots.most + self.queries, self._grouped.counts[self.classes]
        short = self.classes[sizes < need].tolist()
        if short:
            raise DataError(
                f"an episode takes up to {self.shots.most} support and {self.queries} query rows of a class, {need} together; "
                f"class {short[0]} has {int(self._grouped.counts[short[0]])}: lower shots or queries"
            )

    def __len__(self) -> int:
        """Episodes of this process in an epoch."""
        return -(-self.episodes // self.world[1])

    def __iter__(self) -> Iterator[EpisodeRows]:
        """The episodes of the current epoch, then on to the next epoch."""
        epoch, self._epoch = self._epoch, self._epoch + 1
        yield from self.epoch(epoch)

    def epoch(self, number: int) -> Iterator[EpisodeRows]:
        """The episodes of an epoch."""
        rank, size = self.world
        for place in range(len(self)):
            yield self.episode(place * size + rank, number)

    def batches(self, clock: Clock | None = None) -> Iterator[Tensor]:
        """Row numbers of each episode of the epoch of `clock`, support before query, from its `clock.position` on."""
        clock = Clock() if clock is None else clock
        rank, size = self.world
        for place in range(clock.position, len(self)):
            yield self.episode(place * size + rank, clock.epoch).index

    def episode(self, number: int, epoch: int = 0) -> EpisodeRows:
        """Episode `number` of an epoch."""
        return self.draw(derive(self.seed, "episode", epoch, number))

    def draw(self, seed: int) -> EpisodeRows:
        """The episode of a seed."""
        chosen = torch.randperm(len(self.classes), generator=generator(seed, "classes"))[: self.way]
        classes = self.classes[chosen]
        shots = self.shots(self.way, generator(seed, "shots"))
        support, query = [], []
        for label, count in zip(classes.tolist(), shots.tolist(), strict=True):
            rows = self._grouped.rows(label)
            rows = rows[torch.randperm(len(rows), generator=generator(seed, "rows", label))[: self.queries + count]]
            query.append(rows[: self.queries])
            support.append(rows[self.queries :])
        labels = torch.arange(self.way)
        return EpisodeRows(
            classes,
            shots,
            torch.cat(support),
            torch.cat(query),
            labels.repeat_interleave(shots),
            labels.repeat_interleave(self.queries),
            seed,
        )


def _shots(given: int | Sequence[int] | DrawsShots, way: int) -> DrawsShots:
    if not isinstance(given, int | Sequence):
        return given
    counts = (given,) if isinstance(given, int) else tuple(given)
    if len(counts) not in (1, way):
        raise ArgumentError("shots", f"one number, or one for each of the {way} classes", list(counts))
    if min(counts) < 1:
        raise ArgumentError(
            "shots", "at least 1 support row of every class, as a class without any cannot be told", min(counts)
        )
    return Counts(counts)
