"""Shuffled at first, balanced for the last part of training."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.grouping import LabelsLike, as_labels
from steelyard.core.rows import Clock
from steelyard.core.sampler import Sampler, ShuffledSampler
from steelyard.samplers.balanced import BalancedSampler
from steelyard.samplers.by_class import check_epochs, stage_fraction

SEARCH = {"after": "0.5..0.9"}


class DeferredSampler(Sampler):
    """Shuffles without replacement until `after` of the training is done, then draws classes equally often (DRS).

    Before the switch the rows are those of `ShuffledSampler` with the same seed, bit for bit; after it, those of
    `BalancedSampler`. The number of rows in an epoch does not change.

    Args:
        targets: class of each row `[N]`, integers 0..C-1.
        num_samples: rows drawn in an epoch over all processes, >= 1; None for N.
        seed: epochs of one seed are always the same.
        rank: this process, 0 <= rank < world_size.
        world_size: processes that share the epoch.
        after: share of the epochs after which classes are balanced, in [0, 1]: balanced where epoch / epochs >= after.
            0 is balanced from the start, 1 never.
        epochs: epochs that `after` is a share of, >= 1; None for those of the clock, which a training stage passes. Needed
            to iterate over more than one epoch without a clock, as a `DataLoader` does.

    Raises:
        ArgumentError: after outside [0, 1], epochs < 1 or needed and not given, targets that are not class labels,
            num_samples < 1, or a rank outside the world.

    Reference:
        Deferred re-sampling, the variant of DRW in Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware
        Margin Loss", NeurIPS 2019: epoch 160 of 200 is after = 0.8.

    Example:
        >>> sampler = DeferredSampler([0] * 6 + [1] * 2)
        >>> sorted(sampler.batches(8, Clock(epoch=7, epochs=10)).__next__().tolist())
        [0, 1, 2, 3, 4, 5, 6, 7]
        >>> sampler.is_balanced(Clock(epoch=8, epochs=10))
        True
    """

    def __init__(
        self,
        targets: LabelsLike,
        num_samples: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        *,
        after: float = 0.8,
        epochs: int | None = None,
    ) -> None:
        if not 0.0 <= after <= 1.0:
            raise ArgumentError("after", "a share of the epochs from 0 to 1", after)
        labels = as_labels(targets)
        super().__init__(len(labels) if num_samples is None else num_samples, seed, rank, world_size)
        self.after, self.epochs = after, check_epochs(epochs)
        self._before = ShuffledSampler(labels, self.num_samples, seed, rank, world_size)
        self._behind = BalancedSampler(labels, self.num_samples, seed, rank, world_size)
        self.class_counts = self._behind.class_counts

    def is_balanced(self, clock: Clock) -> bool:
        """Is this time behind the switch?"""
        if self.after in (0.0, 1.0):  # the same at any time, so nobody needs to say how long training takes
            return self.after == 0.0
        return stage_fraction(clock, self.epochs) >= self.after

    def chunks(self, clock: Clock, start: int) -> Iterator[Tensor]:
        """The chunks of the sampler whose turn it is."""
        return (self._behind if self.is_balanced(clock) else self._before).chunks(clock, start)
