"""Effective-number weights that begin late in training."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.weightings import Deferred, EffectiveNumber

SEARCH = {"beta": "0.9|0.99|0.999|0.9999", "after": "0.5..0.9"}


def cb_drw(task: TaskView, *, beta: float = 0.9999, after: float = 0.8) -> Stages:
    """Plain cross-entropy first, effective-number weights for the last epochs.

    Formula:
        plain cross-entropy before the fraction `after` of the epochs; then `L = w_y * CE(z, y)`, `w_c` proportional to
        `(1 - beta) / (1 - beta ** n_c)`, mean 1 over classes.

    Args:
        task: what is learnt.
        beta: in [0, 1), see `class-balanced`.
        after: fraction of the epochs after which the weights act, in [0, 1]; at least five epochs are needed for 0.8 to
            be reached.

    Reference:
        Cao, Wei, Gaidon, Arechiga, Ma: Learning imbalanced datasets with label-distribution-aware margin loss, NeurIPS 2019.

    Departures:
        The released code switches at epoch 160 whatever the number of epochs, and fails from 320 epochs on; here it is a
        fraction.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("cb-drw").words
        {'weighting': 'deferred(effective-number)'}
    """
    yield Stage(Objective(weighting=Deferred(EffectiveNumber(task.counts, beta=beta), after=float(after))))
