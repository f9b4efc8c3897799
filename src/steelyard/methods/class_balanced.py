"""Weights by the effective number of rows."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.weightings import EffectiveNumber

SEARCH = {"beta": "0.9|0.99|0.999|0.9999"}


def class_balanced(task: TaskView, *, beta: float = 0.9999) -> Stages:
    """Weigh each class by one over its effective number of rows, which saturates for large classes.

    Formula:
        `L = w_y * CE(z, y)`, `w_c` proportional to `(1 - beta) / (1 - beta ** n_c)`, mean 1 over classes.

    Args:
        task: what is learnt.
        beta: in [0, 1): 0 is plain cross-entropy, towards 1 inverse frequency; classes much larger than 1 / (1 - beta) count
            alike.

    Reference:
        Cui, Jia, Lin, Song, Belongie: Class-balanced loss based on effective number of samples, CVPR 2019.

    Departures:
        The mean is taken over rows; the released TensorFlow code divides by the number of rows with a weight.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("class-balanced").words
        {'weighting': 'effective-number'}
    """
    yield Stage(Objective(weighting=EffectiveNumber(task.counts, beta=beta)))
