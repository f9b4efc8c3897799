"""Gradient steps on each support, weighed by what is inferred from it."""

from __future__ import annotations

from typing import Literal

from steelyard.core.objective import Objective
from steelyard.core.stage import Stages
from steelyard.core.task import TaskView
from steelyard.methods.episodes._common import Kind, QueryLoss, Training, When, backbone_of, episodic, treatment
from steelyard.nets.episodic import BTAML

SEARCH = {"rebalance": "none|ros|ros-plus|weighted|focal|cb"}


def btaml(
    task: TaskView,
    *,
    rebalance: Kind = "none",
    when: When = "always",
    gamma: float | None = None,
    beta: float | None = None,
    training: Training = "task",
    train_steps: int = 4,
    test_steps: int = 10,
    draws: int = 10,
    bn: Literal["batch", "running"] = "batch",
) -> Stages:
    """Bayesian TAML: MAML that infers from each support how to weigh classes, steps and first weights.

    Formula:
        `theta_0 = theta (1 + z)`, `theta_l <- theta_l - exp(gamma_l) alpha grad sum_c omega_c (C / N_S) sum_i l_i`; omega,
        gamma and z from normals inferred from the support; loss: cross-entropy of the queries + `0.1 KL / (N_S + N_Q)`.

    Args:
        task: what is learnt.
        rebalance: of unequal support: "none"; "ros" (copies until all classes have as many examples), "ros-plus" (the copies
            are augmented); "weighted" (1 / n), "cb" (effective numbers) or "focal" in the loss of the support and,
            by support, of the queries.
        when: "always", or at "inference" only.
        gamma: of focal, 0 or more; none for 2.
        beta: of cb, in [0, 1); none for 0.8.
        training: episodes as the "task" has them, "standard" (equal support) or "random-shot" (each count uniform).
        train_steps: inner steps in training, 0 or more.
        test_steps: inner steps in evaluation, 0 or more.
        draws: samples averaged in evaluation, 1 or more.
        bn: "batch": BatchNorm takes the statistics of what it is given, also in evaluation, where the queries are then
            normalised together (transductive), as released; "running": as anywhere else.

    Raises:
        ArgumentError: a setting out of range, or one that would do nothing.
        CombinationError: the data are no episodes, or the treatment has nothing to act on.

    Reference:
        Lee, Lee, Na, Kim, Park, Yang, Hwang: Learning to balance: Bayesian meta-learning for imbalanced and out-of-distribution
        tasks, ICLR 2020.

    Departures:
        z is applied; in code released with Ochal et al., 2023, it has no effect. The rest: `steelyard.nets.episodic.BTAML`.
        With "random-shot" validation episodes are as the task has them, for all methods alike; released code validates the two
        kinds of training on different episodes.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("btaml").of
        'episodes'
    """
    task.require("episodes", "btaml")
    chosen = treatment(rebalance, when, gamma, beta)
    backbone, size = backbone_of(task)
    way, steps = task.context["way"], (train_steps, test_steps)
    learner = BTAML(backbone, chosen, size=size, way=way, bn=bn, steps=steps, draws=draws)
    yield episodic(task, learner, training, Objective(QueryLoss(chosen)))
