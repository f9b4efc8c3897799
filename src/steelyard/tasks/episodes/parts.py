"""What the rows of an episodic task's sources stand for: whole episodes, or batches of training images."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from steelyard.core.seeds import derive, generator
from steelyard.data import ResidentSource
from steelyard.nets.episodic import Episode
from steelyard.samplers import EpisodeSampler


@dataclass(frozen=True)
class Labelled:
    """Inputs with the training class of each.

    Attributes:
        inputs: `[M, ...]`, normalised.
        target: `[M]`.
    """

    inputs: Tensor
    target: Tensor


@dataclass(frozen=True)
class Examples:
    """Everything that episodes are made of, and how it is normalised.

    Attributes:
        inputs: `[N, ...]`: images (uint8, or floats in [0, 1]) or vectors.
        mean: of the training inputs, of images a channel and of x / 255.
        std: likewise.
    """

    inputs: Tensor
    mean: Tensor
    std: Tensor
    _moved: dict[torch.device, Tensor] = field(default_factory=dict, repr=False)

    @property
    def images(self) -> bool:
        """Are they images?"""
        return self.inputs.ndim == 4

    def take(self, rows: Tensor, device: torch.device) -> Tensor:
        """Normalised inputs of some rows."""
        if device not in self._moved:
            self._moved[device] = self.inputs.to(device)
        values = self._moved[device].index_select(0, rows.to(device))
        shape = (1, -1, *[1] * (values.ndim - 2))
        scaled = values.float() / (255 if values.dtype == torch.uint8 else 1)
        return (scaled - self.mean.to(device).view(shape)) / self.std.to(device).view(shape)

    def black(self, device: torch.device) -> Tensor | None:
        """A black pixel after normalisation `[C]`; None for vectors."""
        return (-self.mean / self.std).to(device) if self.images else None


@dataclass(frozen=True)
class EpisodePart:
    """Rows that are episodes.

    Attributes:
        examples: what they are made of.
        sampler: draws them; its rows are rows of `rows`.
        rows: of the examples `[n]`.
    """

    examples: Examples
    sampler: EpisodeSampler
    rows: Tensor

    def draw(self, seeds: list[int], device: torch.device, answers: bool) -> tuple[Episode, ...]:
        """The episodes of some seeds.

        Args:
            seeds: of the episodes.
            device: where to.
            answers: give the labels of the queries along, which only training may see.
        """
        return tuple(self._episode(seed, device, answers) for seed in seeds)

    def _episode(self, seed: int, device: torch.device, answers: bool) -> Episode:
        drawn = self.sampler.draw(seed)
        return Episode(
            self.examples.take(self.rows[drawn.support], device),
            drawn.support_label.to(device),
            self.examples.take(self.rows[drawn.query], device),
            self.sampler.way,
            seed=derive(seed, "learner"),
            black=self.examples.black(device),
            answers=drawn.query_label.to(device) if answers else None,
        )

    def shots(self, seeds: list[int]) -> Tensor:
        """Support examples by rank, most first, of each seed's episode `[E, way]`; no input is looked at."""
        drawn = [self.sampler.shots(self.sampler.way, generator(seed, "shots")) for seed in seeds]
        return torch.stack(drawn).sort(dim=1, descending=True).values


@dataclass(frozen=True)
class BatchPart:
    """Rows that are batches of single images with their training classes, for learners that are trained on classes first.

    Attributes:
        examples: what they are made of.
        rows: of the examples `[n]`.
        target: classes `[n]`, 0..C-1.
        size: of a batch.
    """

    examples: Examples
    rows: Tensor
    target: Tensor
    size: int

    def draw(self, seeds: list[int], device: torch.device, answers: bool) -> Labelled:
        """Images drawn with replacement, a batch a seed; where no answers are wanted, a batch in order from row seed * size."""
        chosen = [
            torch.randint(len(self.rows), (self.size,), generator=generator(seed, "images"))
            if answers
            else torch.arange(seed * self.size, min((seed + 1) * self.size, len(self.rows)))
            for seed in seeds
        ]
        place = torch.cat(chosen)
        return Labelled(self.examples.take(self.rows[place], device), self.target[place].to(device))


def source_of(part: int, seeds: list[int], digest: int) -> ResidentSource:
    """A source whose rows stand for seeds of a part; its labels are 0, as a row has no class.

    Args:
        part: number of the part.
        seeds: one a row.
        digest: of the data, so that a checkpoint of other data is noticed.
    """
    rows = len(seeds)
    inputs = {
        "seed": torch.tensor(seeds, dtype=torch.int64),
        "part": torch.full((rows,), part),
        "digest": torch.full((rows,), digest),
    }
    return ResidentSource(inputs, torch.zeros(rows, dtype=torch.int64))
