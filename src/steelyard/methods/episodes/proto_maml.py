"""Gradient steps on each support that start from its prototypes."""

from __future__ import annotations

from typing import Literal

from steelyard.core.stage import Stages
from steelyard.core.task import TaskView
from steelyard.methods.episodes._common import Kind, Training, When, backbone_of, episodic, of_queries, treatment
from steelyard.nets.episodic import ProtoMAML

SEARCH = {"rebalance": "none|ros|ros-plus|weighted|focal|cb"}


def proto_maml(
    task: TaskView,
    *,
    rebalance: Kind = "none",
    when: When = "always",
    gamma: float | None = None,
    beta: float | None = None,
    training: Training = "task",
    inner_steps: int = 5,
    inner_lr: float = 0.005,
    second_order: bool = True,
    bn: Literal["batch", "running"] = "batch",
    normalise: bool = True,
    through_start: bool = True,
) -> Stages:
    """ProtoMAML: MAML whose classifier starts from the prototypes of the support.

    Formula:
        `W_k = 2 c_k`, `b_k = -|c_k|^2`, then the steps of MAML; without a step this is `protonet`.

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
        second_order: differentiate through the inner gradients.
        bn: "batch": BatchNorm takes the statistics of what it is given, also in evaluation, where the queries are then
            normalised together (transductive), as released; "running": as anywhere else.
        normalise: prototypes of length one.
        through_start: train the backbone through the first classifier too, as published; false as released.

    Raises:
        ArgumentError: a setting out of range, or one that would do nothing.
        CombinationError: the data are no episodes, or the treatment has nothing to act on.

    Reference:
        Triantafillou et al.: Meta-Dataset: a dataset of datasets for learning to learn from few examples, ICLR 2020.

    Departures:
        Prototypes of length one, as released with Ochal et al., 2023; `normalise=false` for those of the paper. Released code
        cuts the first classifier off the graph: `through_start=false`.
        With "random-shot" validation episodes are as the task has them, for all methods alike; released code validates the two
        kinds of training on different episodes.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("proto-maml").of
        'episodes'
    """
    task.require("episodes", "proto-maml")
    chosen = treatment(rebalance, when, gamma, beta)
    backbone, size = backbone_of(task)
    way, steps = task.context["way"], (inner_steps, inner_lr)
    learner = ProtoMAML(backbone, chosen, size=size, way=way, bn=bn, steps=steps, second_order=second_order)
    learner.normalise, learner.through_start = normalise, through_start
    yield episodic(task, learner, training, of_queries(chosen))
