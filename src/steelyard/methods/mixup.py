"""Rows blended with other rows."""

from __future__ import annotations

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.transforms import Mixup

SEARCH = {"alpha": "log(0.1..2)"}


def mixup(_task: TaskView, *, alpha: float = 1.0) -> Stages:
    """Train on blends of two rows, each label counting by its share.

    Formula:
        `x = lam * x_i + (1 - lam) * x_j`, `L = lam * CE(z, y_i) + (1 - lam) * CE(z, y_j)`, `lam` drawn from Beta(alpha, alpha).

    Args:
        _task: not looked at.
        alpha: 0 or more; 0 leaves rows as they are, 1 draws `lam` uniformly.

    Reference:
        Zhang, Cisse, Dauphin, Lopez-Paz: mixup: beyond empirical risk minimization, ICLR 2018.

    Departures:
        none.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("mixup").words
        {'transform': 'mixup'}
    """
    yield Stage(transform=Mixup(alpha=alpha))
