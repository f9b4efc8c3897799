"""The class with the nearest mean support feature."""

from __future__ import annotations

from steelyard.core.stage import Stages
from steelyard.core.task import TaskView
from steelyard.methods.episodes._common import Kind, Training, When, backbone_of, episodic, of_queries, treatment
from steelyard.nets.episodic import ProtoNet

SEARCH = {"rebalance": "none|ros|ros-plus|weighted|focal|cb"}


def protonet(
    task: TaskView,
    *,
    rebalance: Kind = "none",
    when: When = "always",
    gamma: float | None = None,
    beta: float | None = None,
    training: Training = "task",
) -> Stages:
    """Prototypical Networks: the class with the nearest mean support feature.

    Formula:
        `z_k = -|f(x) - c_k|^2`, `c_k` the mean of f over the support of k; cross-entropy of the queries.

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
        Snell, Swersky, Zemel: Prototypical networks for few-shot learning, NeurIPS 2017; treatments as in Ochal et al., 2023.

    Departures:
        Trained on episodes of the task's own number of classes; the paper trains on more.
        With "random-shot" validation episodes are as the task has them, for all methods alike; released code validates the two
        kinds of training on different episodes.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("protonet").of
        'episodes'
    """
    task.require("episodes", "protonet")
    chosen = treatment(rebalance, when, gamma, beta)
    backbone, _ = backbone_of(task)
    yield episodic(task, ProtoNet(backbone, chosen), training, of_queries(chosen))
