"""Every class equally often."""

from __future__ import annotations

from torch import Tensor

from steelyard.core.rows import Clock
from steelyard.samplers.by_class import ClassSampler, balanced


class BalancedSampler(ClassSampler):
    """Draws every class equally often, and within a class every row equally often, with replacement.

        P(row i) = 1 / (K n_{y_i}),   K = classes that have rows

    Over an epoch of N draws the rows of a large class are seen less than once on average and those of a small class many
    times. A class without rows is never drawn.

    Args:
        targets: class of each row `[N]`, integers 0..C-1.
        num_samples: rows drawn in an epoch over all processes, >= 1; None for N.
        seed: epochs of one seed are always the same.
        rank: this process, 0 <= rank < world_size.
        world_size: processes that share the epoch.

    Raises:
        ArgumentError: targets that are not class labels, num_samples < 1, or a rank outside the world.

    Reference:
        Class-balanced sampling of Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition",
        ICLR 2020 (q = 0 in their p_c ~ n_c^q).

    Departures:
        - Released code keeps a list of rows for each class and goes through each list in shuffled order; here rows of a class
          are drawn independently, so that a draw depends on nothing but (seed, epoch, position) and any process can resume.

    Example:
        >>> targets = [0] * 90 + [1] * 10
        >>> rows = list(BalancedSampler(targets, num_samples=1000))
        >>> 450 < sum(row >= 90 for row in rows) < 550
        True
    """

    def class_probabilities(self, clock: Clock | None = None) -> Tensor:
        """1 / K for each class that has rows `[C]`, at any time."""
        return balanced(self.class_counts)
