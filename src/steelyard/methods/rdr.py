"""Weights by density ratio."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.weightings import Deferred, DensityRatio
from steelyard.weightings.density_ratio import Normalise, Prior

SEARCH = {"after": "0.5..0.9", "momentum": "0.5..0.99", "ridge": "log(1e-3..1)", "gamma": "0.25..1"}


def rdr(
    task: TaskView,
    *,
    after: float = 0.8,
    momentum: float = 0.9,
    ridge: float = 0.1,
    gamma: float = 1.0,
    normalise: Normalise = "batch",
    prior: Prior = "dataset_count",
    prior_power: float | None = None,
) -> Stages:
    """RDR: late in training, inverse frequency times how well a row's features stand for its class.

    Formula:
        plain cross-entropy before the fraction `after` of the epochs, while class prototypes `F` are learnt; then
        `L = w * CE(z, y)`, `w` proportional to `(r * n_y ** -prior_power) ** gamma`, where r makes the class's mean feature
        in the batch meet its prototype: `r = b (Phi^T Phi + lambda I)^-1 Phi^T F`.

    Args:
        task: what is learnt.
        after: fraction of the epochs after which the weights act, in [0, 1]; at least five epochs are needed for 0.8 to
            be reached.
        momentum: of the prototypes, in [0, 1).
        ridge: 0 or more; 0 is the paper's exact solution, and warns where that is noise.
        gamma: 0 or more; below 1 makes the weights milder, 0 is plain training.
        normalise: mean 1 over the rows of a "batch", or over "classes".
        prior: n is the class's training rows ("dataset_count", the released code) or its rows in the batch ("batch_count",
            the paper's formula).
        prior_power: 0 or more; none is 1, or, in a combination, what the other parts leave of the prior.

    Raises:
        CombinationError: the task's model has no linear layer for features to go into.

    Reference:
        Luo, Hong, Yao, Han, Zhang, Wang: Revive re-weighting in imbalanced learning by density ratio estimation, NeurIPS 2024.

    Departures:
        A ridge; a switch at a fraction of the epochs (released: epoch 160 of 200; paper: "a warm-up phase"). With r = 1 this
        is `drw` with mean 1 over the batch, which is the control to compare it with.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("rdr").words
        {'weighting': 'deferred(density-ratio)'}
    """
    weighting = DensityRatio(task.counts, momentum, ridge, gamma, normalise=normalise, prior=prior, prior_power=prior_power)
    yield Stage(Objective(weighting=Deferred(weighting, after=float(after))))
