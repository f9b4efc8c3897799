"""The rebalanced loss of leaf/wood segmentation."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import RebalancedBinary

SEARCH = {"subsample": "true|false"}


def soul(task: TaskView, *, subsample: bool = True) -> Stages:
    """SOUL: both classes count alike in every batch, the larger one by as many of its points as the other has.

    Formula:
        `L = (mean over W of l_i + mean over L' of l_i) / 2`, `l_i` the mean binary cross-entropy of the two scores, W the
        points of the rarer class, L' as many drawn from the other.

    Args:
        task: what is learnt; with more than two classes each is thinned to the rarest of the batch.
        subsample: draw the points of L' anew at every step; false takes all, the same loss on average.

    Raises:
        CombinationError: the data are no point clouds.

    Reference:
        Bai, Durand, Vincent, Forbes: Semantic segmentation of sparse irregular point clouds for leaf/wood discrimination,
        NeurIPS 2023.

    Departures:
        See `steelyard.losses.RebalancedBinary`, and for features, pieces, samples and network `docs/points.md`. The regime is
        that of all methods compared; the released one is Adam with 1e-7.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("soul").of
        'points'
    """
    task.require("points", "soul")
    yield Stage(Objective(RebalancedBinary(task.counts, subsample=subsample, seed=task.seed)))
