"""Focal loss with effective-number weights."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import Focal
from steelyard.weightings import EffectiveNumber

SEARCH = {"beta": "0.9|0.99|0.999|0.9999", "gamma": "0.5..3"}


def cb_focal(task: TaskView, *, beta: float = 0.9999, gamma: float = 1.0) -> Stages:
    """Focal loss with class-balanced weights.

    Formula:
        `L = -w_y * (1 - p_y) ** gamma * log p_y`, `w_c` proportional to `(1 - beta) / (1 - beta ** n_c)`, mean 1 over classes.

    Args:
        task: what is learnt.
        beta: in [0, 1), see `class-balanced`.
        gamma: 0 or more, see `focal`.

    Reference:
        Cui, Jia, Lin, Song, Belongie: Class-balanced loss based on effective number of samples, CVPR 2019.

    Departures:
        Softmax instead of a sigmoid a class; p_y is the probability itself, where some ports compute it from the weighted loss.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("cb-focal").words
        {'loss': 'focal', 'weighting': 'effective-number'}
    """
    yield Stage(Objective(Focal(gamma=gamma), EffectiveNumber(task.counts, beta=beta)))
