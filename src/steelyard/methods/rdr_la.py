"""Density ratios on top of logit adjustment."""

from __future__ import annotations

from steelyard.core.errors import ArgumentError
from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import LogitAdjusted
from steelyard.weightings import Deferred, DensityRatio
from steelyard.weightings.density_ratio import Normalise

SEARCH = {"tau": "0.5..1.5", "after": "0.5..0.9", "momentum": "0.5..0.99", "ridge": "log(1e-3..1)", "gamma": "0.25..2"}


def rdr_la(
    task: TaskView,
    *,
    tau: float = 1.0,
    prior_power: float = 0.0,
    double_correction: bool = False,
    after: float = 0.8,
    momentum: float = 0.9,
    ridge: float = 0.1,
    gamma: float = 1.0,
    normalise: Normalise = "batch",
) -> Stages:
    """RDR on logit adjustment: the shift corrects the prior, density ratios weigh the rows late in training.

    Formula:
        `L = w * CE(z + (1 - nu) * tau * log pi, y)`, `nu = prior_power`; `w = 1` before the fraction `after` of the epochs,
        then proportional to `(r * n_y ** -nu) ** gamma`, r as in `rdr`. Weight `pi ** -nu` and shift `(1 - nu) * log pi`
        together are consistent for balanced accuracy: nu = 0 is r on full logit adjustment, nu = 1 is `rdr`.

    Args:
        task: what is learnt.
        tau: strength of the shift, 0 or more.
        prior_power: nu, in [0, 1]: how much of the prior the weights correct instead of the shift.
        double_correction: weights `r / pi` and the full shift, which corrects the prior twice; for experiments only, and
            overrides `prior_power`.
        after: fraction of the epochs after which the weights act, in [0, 1].
        momentum: of the prototypes, in [0, 1).
        ridge: 0 or more, see `rdr`.
        gamma: 0 or more; 0 is logit adjustment alone.
        normalise: mean 1 over the rows of a "batch", or over "classes".

    Raises:
        CombinationError: the task's model has no linear layer for features to go into.
        ArgumentError: `prior_power` is outside [0, 1].

    Reference:
        Luo, Hong, Yao, Han, Zhang, Wang: Revive re-weighting in imbalanced learning by density ratio estimation, NeurIPS 2024.

    Departures:
        A reconstruction: the paper says in one sentence that it follows Wang et al. (NeurIPS 2023) for consistency, and the
        code was not released. There, weights are `pi ** -nu` with nu from 0.05 to 0.25; here the default is 0.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("rdr-la").words
        {'loss': 'logit-adjusted', 'weighting': 'deferred(density-ratio)'}
    """
    if not 0 <= prior_power <= 1:
        raise ArgumentError("prior_power", "in [0, 1]", prior_power)
    weights, shift = (1.0, tau) if double_correction else (prior_power, (1 - prior_power) * tau)
    weighting = DensityRatio(task.counts, momentum, ridge, gamma, normalise=normalise, prior_power=weights)
    yield Stage(Objective(LogitAdjusted(task.counts, tau=shift), Deferred(weighting, after=after)))
