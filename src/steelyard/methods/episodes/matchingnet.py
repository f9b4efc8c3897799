"""Attention over the support."""

from __future__ import annotations

from steelyard.core.stage import Stages
from steelyard.core.task import TaskView
from steelyard.methods.episodes._common import Kind, Training, When, backbone_of, episodic, of_queries, treatment
from steelyard.nets.episodic import MatchingNet

SEARCH = {"rebalance": "none|ros|ros-plus|weighted|focal|cb"}


def matchingnet(
    task: TaskView,
    *,
    rebalance: Kind = "none",
    when: When = "always",
    gamma: float | None = None,
    beta: float | None = None,
    training: Training = "task",
    contexts: bool = True,
    sharpness: float = 100.0,
) -> Stages:
    """Matching Networks: attention over all support examples.

    Formula:
        `z_k = log(sum of softmax_i(100 relu cos(F(x), G_i)) over the support of k + 1e-6)`; cross-entropy of the queries.

    Args:
        task: what is learnt.
        rebalance: of unequal support: "none"; "ros" (copies until all classes have as many examples), "ros-plus" (the copies
            are augmented); "weighted" (1 / n), "cb" (effective numbers) or "focal" in the loss of the queries, by support.
        when: "always", or at "inference" only.
        gamma: of focal, 0 or more; none for 2.
        beta: of cb, in [0, 1); none for 0.8.
        training: episodes as the "task" has them, "standard" (equal support) or "random-shot" (each count uniform).
        contexts: read support and query with LSTMs first, as published; false compares the features as they are.
        sharpness: of the softmax, above 0.

    Raises:
        ArgumentError: a setting out of range, or one that would do nothing.
        CombinationError: the data are no episodes, or the treatment has nothing to act on.

    Reference:
        Vinyals, Blundell, Lillicrap, Kavukcuoglu, Wierstra: Matching networks for one shot learning, NeurIPS 2016.

    Departures:
        The support is read in a random order; released code reads it class by class.
        With "random-shot" validation episodes are as the task has them, for all methods alike; released code validates the two
        kinds of training on different episodes.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("matchingnet").of
        'episodes'
    """
    task.require("episodes", "matchingnet")
    chosen = treatment(rebalance, when, gamma, beta)
    backbone, size = backbone_of(task)
    learner = MatchingNet(backbone, chosen, size=size, contexts=contexts, sharpness=sharpness)
    yield episodic(task, learner, training, of_queries(chosen))
