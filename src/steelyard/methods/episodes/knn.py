"""Nearest neighbours in the support."""

from __future__ import annotations

from steelyard.core.stage import Stages
from steelyard.core.task import TaskView
from steelyard.methods.episodes._common import Copies, on_classes, treatment
from steelyard.nets.episodic import NearestNeighbours

SEARCH = {"rebalance": "none|ros|ros-plus"}


def knn(
    task: TaskView,
    *,
    rebalance: Copies = "none",
    k: int = 1,
) -> Stages:
    """Nearest neighbours on the features of ordinary training.

    Formula:
        stage 1: cross-entropy over all training classes; then the k nearest support examples vote.

    Args:
        task: what is learnt.
        rebalance: of unequal support: "none"; "ros" (copies until all classes have as many examples) or "ros-plus" (the copies
            are augmented).
        k: neighbours, 1 or more; equal votes are decided by the nearest example.

    Raises:
        ArgumentError: a setting out of range, or one that would do nothing.
        CombinationError: the data are no episodes, or the treatment has nothing to act on.

    Reference:
        Cover, Hart: Nearest neighbor pattern classification, IEEE Transactions on Information Theory 13(1), 1967.

    Departures:
        Trained on the training classes alone, in batches as large as an episode; the papers add validation classes and take
        batches of 128.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("knn").of
        'episodes'
    """
    task.require("episodes", "knn")
    chosen = treatment(rebalance)
    yield on_classes(task, lambda backbone, head, size: NearestNeighbours(backbone, head, chosen, k=k))
