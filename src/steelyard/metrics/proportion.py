"""Uncertainty of recalls: intervals of a proportion, and what the worst of many recalls is worth."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.metrics.arrays import Floats, as_array

GRID = 20_000
"""Points at which `worst_recall_null` integrates when the exact sum would have more terms."""


def wilson(right: Any, rows: Any, level: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's score interval of a proportion; never empty at 0 or at all, and good for few rows.

    Args:
        right: successes, any shape.
        rows: trials, of the same shape; 0 gives NaN.
        level: confidence, between 0 and 1.

    Returns:
        Lower and upper limits, float64.

    Raises:
        ArgumentError: `level` is not between 0 and 1.

    Reference:
        Wilson, JASA 1927.

    Example:
        >>> low, high = wilson([0, 3, 70], [5, 5, 100])
        >>> low.round(4).tolist(), high.round(4).tolist()
        ([0.0, 0.2307, 0.6042], [0.4345, 0.8824, 0.7811])
    """
    k, n = _counts(right, rows, level)
    z = NormalDist().inv_cdf((1 + level) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = k / n
        middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # The limits at 0 and at n are exact, without the rounding of the two terms.
    low = np.where((k == 0) & (n > 0), 0.0, middle - half)
    high = np.where((k == n) & (n > 0), 1.0, middle + half)
    return low, high


def clopper_pearson(right: Any, rows: Any, level: float = 0.95) -> tuple[Floats, Floats]:
    """The "exact" interval of a proportion: covers at least `level` always, and so is wider than need be.

    Args:
        right: successes, any shape.
        rows: trials, of the same shape; 0 gives NaN.
        level: confidence, between 0 and 1.

    Returns:
        Lower and upper limits, float64.

    Raises:
        ArgumentError: `level` is not between 0 and 1.

    Reference:
        Clopper and Pearson, Biometrika 1934.

    Example:
        >>> low, high = clopper_pearson([0, 3, 70], [5, 5, 100])
        >>> low.round(4).tolist(), high.round(4).tolist()
        ([0.0, 0.1466, 0.6002], [0.5218, 0.9473, 0.7876])
    """
    from scipy.stats import beta

    k, n = _counts(right, rows, level)
    tail = (1 - level) / 2
    low = np.where(k == 0, 0.0, beta.ppf(tail, np.maximum(k, 1e-9), n - k + 1))
    high = np.where(k == n, 1.0, beta.isf(tail, k + 1, np.maximum(n - k, 1e-9)))
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def _counts(right: Any, rows: Any, level: float) -> tuple[Floats, Floats]:
    if not 0 < level < 1:
        raise ArgumentError("level", "between 0 and 1, such as 0.95", level)
    return as_array(right).astype(np.float64), as_array(rows).astype(np.float64)


def balanced_accuracy_error(recall: Any, rows: Any) -> float:
    """Standard error of balanced accuracy, (1/k) sqrt(sum_c r_c (1 - r_c) / n_c), over classes with rows.

    Args:
        recall: of each class `[C]`.
        rows: of each class in the split `[C]`.

    Example:
        >>> round(balanced_accuracy_error([0.95, 0.8, 0.5], [1000, 100, 10]), 4)
        0.0544
    """
    r, n = as_array(recall).astype(np.float64), as_array(rows).astype(np.float64)
    r, n = r[n > 0], n[n > 0]
    return float(np.sqrt((r * (1 - r) / n).sum()) / n.size)


def worst_recall_null(recall: float, rows: Any) -> float:
    """Mean of the worst class's measured recall if every class truly had the same recall.

        E[min] = integral over t in (0, 1) of prod_c P(Binomial(n_c, recall) >= t n_c)

    With equal n this is (1/n) sum_{x >= 1} P(Binomial(n, recall) >= x)^k. A worst-class recall near this value says
    nothing about a weak class.

    Args:
        recall: the common recall, in [0, 1]; balanced accuracy is the natural choice.
        rows: of each class in the split `[C]`; classes without rows are left out.

    Raises:
        ArgumentError: `recall` outside [0, 1], or no class has rows.

    Example:
        >>> round(worst_recall_null(0.7, [100] * 100), 4)
        0.5821
    """
    from scipy.stats import binom

    n = as_array(rows).astype(np.int64)
    sizes, classes = np.unique(n[n > 0], return_counts=True)
    if not 0 <= recall <= 1:
        raise ArgumentError("recall", "between 0 and 1", recall)
    if sizes.size == 0:
        raise ArgumentError("rows", "at least one class with rows", n.tolist()[:8])
    if sizes.sum() <= GRID:
        steps = np.unique(np.concatenate([np.arange(1, size + 1) / size for size in sizes]))
    else:
        steps = np.arange(1, GRID + 1) / GRID
    widths = np.diff(steps, prepend=0.0)
    # Inside a step the probability is constant; its middle is safe from rounding at the edges.
    middles = steps - widths / 2
    log_chance = np.zeros_like(steps)
    with np.errstate(divide="ignore"):
        for size, how_many in zip(sizes, classes, strict=True):
            log_chance += how_many * np.log(binom.sf(np.ceil(middles * size) - 1, size, recall))
    return float((widths * np.exp(log_chance)).sum())
