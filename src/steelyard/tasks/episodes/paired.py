"""Two learners on the same episodes: the mean difference of their accuracies, episode by episode."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.tasks.episodes.scores import interval


@dataclass(frozen=True)
class PairedEpisodes:
    """A paired difference.

    Attributes:
        difference: mean over episodes of first minus second.
        low: of its 95 % interval.
        high: of its 95 % interval.
        unpaired: half the width that the interval would have if the episodes were not the same.
        episodes: how many.
    """

    difference: float
    low: float
    high: float
    unpaired: float
    episodes: int


def paired_episodes(first: Tensor, second: Tensor) -> PairedEpisodes:
    """Compare accuracies of two learners on common episodes; the unit is the episode, not the query.

    Formula:
        `d_t = a_t - b_t`, interval `mean(d) -+ 1.96 sd(d) / sqrt(T)`

    Args:
        first: accuracy of each episode `[T]`, or of each seed and episode `[seeds, T]`, which is averaged over seeds.
        second: likewise, of the same episodes in the same order.

    Raises:
        ArgumentError: shapes differ, or there are fewer than two episodes.

    Example:
        >>> found = paired_episodes(torch.tensor([0.9, 0.5, 0.7]), torch.tensor([0.8, 0.4, 0.6]))
        >>> round(found.difference, 3), round(found.high - found.low, 3), found.unpaired > 0.2
        (0.1, 0.0, True)
    """
    one, other = (torch.atleast_2d(values.double()).mean(0) for values in (first, second))
    if one.shape != other.shape or len(one) < 2:
        found = f"{list(first.shape)} and {list(second.shape)}"
        raise ArgumentError("second", "accuracies of the same episodes, two or more", found)
    mean, half = interval(one - other)
    apart = math.hypot(interval(one)[1], interval(other)[1])
    return PairedEpisodes(mean, mean - half, mean + half, apart, len(one))
