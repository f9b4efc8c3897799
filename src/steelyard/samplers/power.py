"""Classes in proportion to a power of their size."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.grouping import LabelsLike
from steelyard.core.rows import Clock
from steelyard.samplers.by_class import ClassSampler

SEARCH = {"power": "0..0.9"}


class PowerSampler(ClassSampler):
    """Draws classes in proportion to a power of their size, and rows of a class uniformly with replacement.

        P(class c) = n_c^power / sum_k n_k^power

    Args:
        targets: class of each row `[N]`, integers 0..C-1.
        num_samples: rows drawn in an epoch over all processes, >= 1; None for N.
        seed: epochs of one seed are always the same.
        rank: this process, 0 <= rank < world_size.
        world_size: processes that share the epoch.
        power: any finite number; 1 natural frequencies (a bootstrap of the rows), 0.5 square root, 0 balanced,
            -1 reversed (the rarest class most often).

    Raises:
        ArgumentError: power not finite, targets that are not class labels, num_samples < 1, or a rank outside the world.

    Reference:
        Square-root sampling: Mahajan et al., "Exploring the Limits of Weakly Supervised Pretraining", ECCV 2018; the family
        n_c^q: Kang et al., ICLR 2020. Reversed: Zhou et al., "BBN", CVPR 2020.

    Example:
        >>> sampler = PowerSampler([0] * 900 + [1] * 100, power=0.5)
        >>> sampler.class_probabilities()
        tensor([0.7500, 0.2500], dtype=torch.float64)
    """

    def __init__(
        self,
        targets: LabelsLike,
        num_samples: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        *,
        power: float = 0.5,
    ) -> None:
        if not math.isfinite(power):
            raise ArgumentError("power", "a finite number, such as 0.5 for square-root sampling", power)
        super().__init__(targets, num_samples, seed, rank, world_size)
        self.power = power

    def class_probabilities(self, clock: Clock | None = None) -> Tensor:
        """n_c^power / sum of all, 0 for classes without rows `[C]`, at any time."""
        sizes = self.class_counts.to(torch.float64)
        # Against the largest term, so that no power of a large class overflows.
        exponent = torch.where(sizes > 0, self.power * sizes.clamp_min(1.0).log(), -math.inf)
        return torch.softmax(exponent, 0)
