"""Weights of rare classes that begin late in training."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.weightings import Deferred, InverseFrequency

SEARCH = {"after": "0.5..0.9", "power": "0.25..1.5"}


def drw(task: TaskView, *, after: float = 0.8, power: float = 1.0) -> Stages:
    """Learn features from the data as they are, then weigh classes by inverse frequency: deferred re-weighting.

    Formula:
        plain cross-entropy before the fraction `after` of the epochs; then `L = w_y * CE(z, y)`, `w_c` proportional to
        `n_c ** -power`, mean 1 over classes.

    Args:
        task: what is learnt.
        after: fraction of the epochs after which the weights act, in [0, 1]; at least five epochs are needed for 0.8 to
            be reached.
        power: steepness of the weights, 1 for full inverse frequency.

    Reference:
        Cao, Wei, Gaidon, Arechiga, Ma: Learning imbalanced datasets with label-distribution-aware margin loss, NeurIPS 2019.

    Departures:
        Inverse frequency where the paper defers effective numbers: that is `cb-drw`.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("drw").words
        {'weighting': 'deferred(inverse-frequency)'}
    """
    yield Stage(Objective(weighting=Deferred(InverseFrequency(task.counts, power=power), after=float(after))))
