"""Class weights and confidence margins in the general cross-entropy family."""

from __future__ import annotations

from typing import Literal

from steelyard.core.counts import effective
from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import GeneralizedClassAware
from steelyard.numeric.margins import power_margins

SEARCH = {"q": "0..0.7", "kappa": "-0.25|0|0.3333", "weight": "rho_over_prior|inverse_prior"}


def gca(
    task: TaskView,
    *,
    q: float = 0.0,
    kappa: float = -0.25,
    weight: Literal["rho_over_prior", "inverse_prior"] = "rho_over_prior",
) -> Stages:
    """Generalized class-aware loss: inverse-prior weights and a confidence margin a class that divides the logits.

    Formula:
        `L = w_y (1 - u ** q) / q` with `u = softmax(z / rho_y)_y`, and `-w_y log u` for q = 0; `rho_c` proportional to
        `n_c ** kappa` with mean 1, `w_c` proportional to `rho_c / pi_c`, mean 1 over classes; decide by `argmax z`.

    Args:
        task: what is learnt.
        q: in [0, 1); 0 is the logarithm. Larger values forgive rows that are badly wrong and learn more slowly.
        kappa: power of the margins, to be chosen by validation among -1/4 (larger margins for rarer classes, LDAM's rule), 0
            (none: `inverse-frequency` where q = 0) and 1/3.
        weight: with q = 0, "rho_over_prior" is consistent for balanced accuracy whatever the margins, "inverse_prior"
            (`1 / pi_c`) only where they are equal.

    Reference:
        Cortes, Mohri, Zhong: Improved balanced classification with theoretically grounded loss functions, NeurIPS 2025.

    Departures:
        Derived from the paper's abstract, not from its text or code, which were not available: where the margins stand, the
        weight that goes with them and their rule are ours. Weights have mean 1 over classes, as in `inverse-frequency`.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("gca").words
        {'loss': 'generalized-class-aware'}
    """
    margins = power_margins(effective(task.counts), kappa)
    yield Stage(Objective(GeneralizedClassAware(task.counts, q=q, margins=margins, weight=weight, normalise="classes")))
