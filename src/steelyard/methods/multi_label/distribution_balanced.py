"""Distribution-balanced loss."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import DistributionBalanced
from steelyard.methods.multi_label._per_label import PerLabel

SEARCH = {"mu": "0.05..0.5", "scale": "1..5", "kappa": "0..0.2", "gamma": "0|1|2"}


def distribution_balanced(
    task: TaskView,
    *,
    alpha: float = 0.1,
    beta: float = 10.0,
    mu: float = 0.2,
    scale: float = 2.0,
    kappa: float = 0.05,
    gamma: float = 0.0,
) -> Stages:
    """Weights for labels that occur together, and a loss that is tolerant of absences: distribution-balanced loss.

    Formula:
        `w_k = alpha + sigmoid(beta (r_k - mu))`, `r_k = (1 / n_k) / sum_{j present} 1 / n_j`; present:
        `w_k softplus(-(z_k - v_k))`, absent: `w_k softplus(scale (z_k - v_k)) / scale`, `v_k = -kappa log(n_k / (N - n_k))`;
        decide by z.

    Args:
        task: what is learnt.
        alpha: smallest weight, 0 or more.
        beta: steepness of the smoothed weight, 0 or more.
        mu: where it is in the middle.
        scale: of the scores of absent labels, above 0.
        kappa: share of the log prior odds in the shift, 0 or more.
        gamma: of a focal factor, 0 for none.

    Raises:
        CombinationError: the data are not multi-label.

    Reference:
        Wu, Huang, Liu, Wang, Lin: Distribution-balanced loss for multi-label classification in long-tailed datasets, ECCV 2020.

    Departures:
        See `steelyard.losses.DistributionBalanced`. Examples are drawn as they are; the paper draws them by class, which the
        sampler `balanced` does (`distribution-balanced+balanced-sampling`).

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("distribution-balanced").of
        'multi-label'
    """
    task.require("multi-label", "distribution-balanced")
    pairs = task.counts.view(-1, 2)
    loss = DistributionBalanced(
        pairs[:, 1], int(pairs.sum(1).max()), alpha=alpha, beta=beta, mu=mu, scale=scale, kappa=kappa, gamma=gamma
    )
    yield Stage(Objective(PerLabel(loss)))
