"""Gaussian-process regression with a learnt kernel."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stages
from steelyard.core.task import TaskView
from steelyard.methods.episodes._common import Copies, LearnersOwn, Training, When, backbone_of, episodic, treatment
from steelyard.nets.episodic import DKT

SEARCH = {"rebalance": "none|ros|ros-plus"}


def dkt(
    task: TaskView,
    *,
    rebalance: Copies = "none",
    when: When = "always",
    training: Training = "task",
    noise: float = 0.1,
) -> Stages:
    """Deep kernel transfer: Gaussian-process regression to labels of -1 and 1 with a learnt kernel.

    Formula:
        kernel `s <u(x), u(x')>` of normalised features; decide by the largest posterior mean; the training loss is
        `-sum_k log p(y_k | support and queries)`, the marginal likelihood.

    Args:
        task: what is learnt.
        rebalance: of unequal support: "none"; "ros" (copies until all classes have as many examples) or "ros-plus" (the copies
            are augmented).
        when: "always", or at "inference" only.
        training: episodes as the "task" has them, "standard" (equal support) or "random-shot" (each count uniform).
        noise: variance of the noise, above 0.

    Raises:
        ArgumentError: a setting out of range, or one that would do nothing.
        CombinationError: the data are no episodes, or the treatment has nothing to act on.

    Reference:
        Patacchiola, Turner, Crowley, O'Boyle, Storkey: Bayesian meta-learning for the few-shot setting via deep kernels,
        NeurIPS 2020.

    Departures:
        One learning rate for network and kernel, as a method may not change the regime. Computed in float64. There is no loss
        of the support to weigh, so only copies are offered.
        With "random-shot" validation episodes are as the task has them, for all methods alike; released code validates the two
        kinds of training on different episodes.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("dkt").of
        'episodes'
    """
    task.require("episodes", "dkt")
    chosen = treatment(rebalance, when)
    backbone, size = backbone_of(task)
    yield episodic(task, DKT(backbone, chosen, size=size, noise=noise), training, Objective(LearnersOwn()))
