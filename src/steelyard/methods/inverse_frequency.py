"""Rows of rare classes weigh more, from the first epoch on."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.weightings import InverseFrequency

SEARCH = {"power": "0.25..1.5"}


def inverse_frequency(task: TaskView, *, power: float = 1.0) -> Stages:
    """Weigh each class by one over its number of rows, from the start.

    Formula:
        `L = w_y * CE(z, y)`, `w_c` proportional to `n_c ** -power`, mean 1 over classes.

    Args:
        task: what is learnt.
        power: 0 is plain cross-entropy, 0.5 the square-root rule, 1 full inverse frequency.

    Reference:
        Classical; for deep long-tailed learning see Huang, Li, Loy, Tang: Learning deep representation for imbalanced
        classification, CVPR 2016.

    Departures:
        The mean is taken over rows, not over weights as `torch.nn.CrossEntropyLoss(weight=...)` does.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("inverse-frequency").words
        {'weighting': 'inverse-frequency'}
    """
    yield Stage(Objective(weighting=InverseFrequency(task.counts, power=power)))
