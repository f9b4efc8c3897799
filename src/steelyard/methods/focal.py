"""Easy rows count less."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import Focal

SEARCH = {"gamma": "0.5..5"}


def focal(_task: TaskView, *, gamma: float = 1.0) -> Stages:
    """Focal loss: rows that are already right count less.

    Formula:
        `L = -(1 - p_y) ** gamma * log p_y`, `p = softmax(z)`.

    Args:
        _task: not looked at.
        gamma: 0 or more; 0 is plain cross-entropy.

    Reference:
        Lin, Goyal, Girshick, He, Dollar: Focal loss for dense object detection, ICCV 2017.

    Departures:
        The softmax form of the long-tailed literature; the paper's is a sigmoid a class, with gamma = 2. gamma = 1 as in the
        released code of LDAM-DRW.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("focal").words
        {'loss': 'focal'}
    """
    yield Stage(Objective(Focal(gamma=gamma)))
