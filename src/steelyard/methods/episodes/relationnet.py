"""A learnt comparison of a query with each class."""

from __future__ import annotations

from steelyard.core.stage import Stages
from steelyard.core.task import TaskView
from steelyard.methods.episodes._common import Kind, Training, When, backbone_of, episodic, of_queries, treatment
from steelyard.nets.episodic import RelationNet

SEARCH = {"rebalance": "none|ros|ros-plus|weighted|focal|cb"}


def relationnet(
    task: TaskView,
    *,
    rebalance: Kind = "none",
    when: When = "always",
    gamma: float | None = None,
    beta: float | None = None,
    training: Training = "task",
) -> Stages:
    """Relation Networks: a small network compares a query with the mean feature map of each class.

    Formula:
        `z_k = g(map(x), mean map of the support of k)`; cross-entropy of the queries.

    Args:
        task: what is learnt.
        rebalance: of unequal support: "none"; "ros" (copies until all classes have as many examples), "ros-plus" (the copies
            are augmented); "weighted" (1 / n), "cb" (effective numbers) or "focal" in the loss of the queries, by support.
        when: "always", or at "inference" only.
        gamma: of focal, 0 or more; none for 2.
        beta: of cb, in [0, 1); none for 0.8.
        training: episodes as the "task" has them, "standard" (equal support) or "random-shot" (each count uniform).

    Raises:
        ArgumentError: a setting out of range, or one that would do nothing.
        CombinationError: the data are no episodes, or the treatment has nothing to act on.

    Reference:
        Sung, Yang, Zhang, Xiang, Torr, Hospedales: Learning to compare: relation network for few-shot learning, CVPR 2018.

    Departures:
        Means of maps instead of sums, and a softmax instead of squared errors, as released with Ochal et al., 2023.
        With "random-shot" validation episodes are as the task has them, for all methods alike; released code validates the two
        kinds of training on different episodes.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("relationnet").of
        'episodes'
    """
    task.require("episodes", "relationnet")
    chosen = treatment(rebalance, when, gamma, beta)
    backbone, _ = backbone_of(task)
    learner = RelationNet(backbone, chosen, shape=task.context["shape"])
    yield episodic(task, learner, training, of_queries(chosen))
