"""Learnt first weights, and a few gradient steps on each support."""

from __future__ import annotations

from typing import Literal

from steelyard.core.stage import Stages
from steelyard.core.task import TaskView
from steelyard.methods.episodes._common import Kind, Training, When, backbone_of, episodic, of_queries, treatment
from steelyard.nets.episodic import MAML

SEARCH = {"rebalance": "none|ros|ros-plus|weighted|focal|cb"}


def maml(
    task: TaskView,
    *,
    rebalance: Kind = "none",
    when: When = "always",
    gamma: float | None = None,
    beta: float | None = None,
    training: Training = "task",
    inner_steps: int = 5,
    inner_lr: float = 0.1,
    second_order: bool = True,
    bn: Literal["batch", "running"] = "batch",
) -> Stages:
    """MAML: first weights from which a few gradient steps on the support lead far.

    Formula:
        `theta_{t+1} = theta_t - inner_lr grad L_support(theta_t)`; cross-entropy of the queries at the last theta.

    Args:
        task: what is learnt.
        rebalance: of unequal support: "none"; "ros" (copies until all classes have as many examples), "ros-plus" (the copies
            are augmented); "weighted" (1 / n), "cb" (effective numbers) or "focal" in the loss of the support and,
            by support, of the queries.
        when: "always", or at "inference" only.
        gamma: of focal, 0 or more; none for 2.
        beta: of cb, in [0, 1); none for 0.8.
        training: episodes as the "task" has them, "standard" (equal support) or "random-shot" (each count uniform).
        inner_steps: 0 or more.
        inner_lr: rate of the inner steps, 0 or more.
        second_order: differentiate through the inner gradients; false is first-order MAML.
        bn: "batch": BatchNorm takes the statistics of what it is given, also in evaluation, where the queries are then
            normalised together (transductive), as released; "running": as anywhere else.

    Raises:
        ArgumentError: a setting out of range, or one that would do nothing.
        CombinationError: the data are no episodes, or the treatment has nothing to act on.

    Reference:
        Finn, Abbeel, Levine: Model-agnostic meta-learning for fast adaptation of deep networks, ICML 2017.

    Departures:
        A step takes as many episodes as the regime's batch (published: 4; the released setting has 10 inner steps). The focal
        loss of the support is a mean; summed, as released, it multiplies the inner rate by the size of the support.
        With "random-shot" validation episodes are as the task has them, for all methods alike; released code validates the two
        kinds of training on different episodes.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("maml").of
        'episodes'
    """
    task.require("episodes", "maml")
    chosen = treatment(rebalance, when, gamma, beta)
    backbone, size = backbone_of(task)
    way, steps = task.context["way"], (inner_steps, inner_lr)
    learner = MAML(backbone, chosen, size=size, way=way, bn=bn, steps=steps, second_order=second_order)
    yield episodic(task, learner, training, of_queries(chosen))
