"""Normal, Mild, Extreme, Catastrophic: how bad an imbalance is, by the minority recall that it leaves.

The names are of arXiv:2601.04149; the thresholds are **ours**, for the paper's are not known to us.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from steelyard.diagnosis._normal import cdf, quantile
from steelyard.metrics.arrays import Floats

Regime = Literal["Normal", "Mild", "Extreme", "Catastrophic"]

TOLERATED = 0.05
"""Normal: at most this much of the recall at equal counts is lost."""

HALF = 0.5
"""Mild down to this recall, Extreme below it."""

LOST = 0.05
"""Catastrophic below this recall."""


def regime(recall: float, balanced_recall: float) -> Regime:
    """The regime of a minority with a predicted recall.

        Normal        recall >= recall at equal counts - 0.05
        Mild          else, recall >= 1/2
        Extreme       else, recall >= 0.05
        Catastrophic  else

    Args:
        recall: predicted minority recall.
        balanced_recall: predicted with as many rows in all, the same in each class.

    Example:
        >>> regime(0.43, balanced_recall=0.84)
        'Extreme'
    """
    if recall >= balanced_recall - TOLERATED:
        return "Normal"
    if recall >= HALF:
        return "Mild"
    return "Extreme" if recall >= LOST else "Catastrophic"


def regime_limits(delta: Any) -> tuple[Floats, Floats, Floats]:
    """Ratios of classes up to which the Bayes rule is in the regimes Normal, Mild and Extreme.

    Args:
        delta: Mahalanobis distance of the class means, above 0; any shape.

    Returns:
        Three arrays of the shape of `delta`. Where there is no Mild regime (a tiny `delta`) the second equals the first.

    Example:
        >>> [round(float(limit), 3) for limit in regime_limits(2.0)]
        [1.459, 7.389, 198.285]
    """
    distance = np.asarray(delta, dtype=np.float64)
    middle = distance**2 / 2
    normal = middle - distance * quantile(cdf(distance / 2) - TOLERATED)
    mild = np.maximum(middle, normal)
    extreme = np.maximum(middle - distance * quantile(LOST), mild)
    return np.exp(normal), np.exp(mild), np.exp(extreme)
