"""From natural frequencies to balanced classes, a little each epoch."""

from __future__ import annotations

from torch import Tensor

from steelyard.core.grouping import LabelsLike
from steelyard.core.rows import Clock
from steelyard.samplers.by_class import ClassSampler, balanced, check_epochs, natural, stage_fraction


class ProgressiveSampler(ClassSampler):
    """Draws classes as frequently as they are at first and, epoch by epoch, more and more equally.

        P(class c) = (1 - t) n_c / N + t / K,   t = epoch / epochs,   K = classes that have rows

    Rows of a class are drawn uniformly with replacement.

    Args:
        targets: class of each row `[N]`, integers 0..C-1.
        num_samples: rows drawn in an epoch over all processes, >= 1; None for N.
        seed: epochs of one seed are always the same.
        rank: this process, 0 <= rank < world_size.
        world_size: processes that share the epoch.
        epochs: epochs over which to change, >= 1, after which classes stay balanced; None for those of the clock, which
            a training stage passes. Needed to iterate over more than one epoch without a clock, as a `DataLoader` does.

    Raises:
        ArgumentError: epochs < 1 or needed and not given, targets that are not class labels, num_samples < 1, or a rank
            outside the world.

    Reference:
        Progressively-balanced sampling of Kang et al., "Decoupling Representation and Classifier for Long-Tailed
        Recognition", ICLR 2020.

    Departures:
        - None in the formula: t grows from 0 in steps of 1 / epochs, so the last epoch has t = 1 - 1 / epochs, not 1.

    Example:
        >>> sampler = ProgressiveSampler([0] * 90 + [1] * 10)
        >>> sampler.class_probabilities(Clock(epoch=5, epochs=10))
        tensor([0.7000, 0.3000], dtype=torch.float64)
    """

    def __init__(
        self,
        targets: LabelsLike,
        num_samples: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        *,
        epochs: int | None = None,
    ) -> None:
        self.epochs = check_epochs(epochs)
        super().__init__(targets, num_samples, seed, rank, world_size)

    def class_probabilities(self, clock: Clock | None = None) -> Tensor:
        """The mixture of natural and balanced at that time `[C]`."""
        done = stage_fraction(Clock() if clock is None else clock, self.epochs)
        return (1.0 - done) * natural(self.class_counts) + done * balanced(self.class_counts)
