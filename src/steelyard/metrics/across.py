"""Tests across data sets and across folds, where the pairs of `paired_test` are not enough.

Average over seeds first: seeds of one data set are not independent data sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.metrics.arrays import Floats, as_array


@dataclass(frozen=True)
class Friedman:
    """Methods ranked over data sets.

    Attributes:
        statistic: Friedman's chi-square.
        p: of all methods being equal.
        ranks: average rank of each method `[k]`, 1 is best.
        critical_difference: average ranks further apart than this differ (Nemenyi).
        pairwise: Nemenyi's p of each pair of methods `[k, k]`.
    """

    statistic: float
    p: float
    ranks: Floats
    critical_difference: float
    pairwise: Floats


def friedman(table: Any, level: float = 0.95, higher_is_better: bool = True) -> Friedman:
    """Friedman's test of k methods on N data sets, and Nemenyi's pairwise comparison.

        CD = q sqrt(k (k + 1) / (6 N)),   q the studentised range quantile / sqrt 2

    Args:
        table: a metric of each data set (row) and method (column) `[N, k]`, averaged over seeds.
        level: 1 less the level of the tests, between 0 and 1.
        higher_is_better: whether the largest value gets rank 1.

    Raises:
        ArgumentError: fewer than two data sets or three methods, or values that are not finite.

    Reference:
        Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006.

    Example:
        >>> result = friedman([[0.1, 0.2, 0.3]] * 5 + [[0.3, 0.2, 0.1]])
        >>> [round(r, 4) for r in result.ranks.tolist()], round(result.p, 4)
        ([2.6667, 2.0, 1.3333], 0.0695)
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    values = as_array(table).astype(np.float64)
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 3 or not np.isfinite(values).all():
        raise ArgumentError("table", "finite, [data sets, methods] with at least 2 rows and 3 columns", f"shape {values.shape}")
    rows, methods = values.shape
    ranks = rankdata(-values if higher_is_better else values, axis=1).mean(0)
    statistic, p = friedmanchisquare(*values.T)
    error = np.sqrt(methods * (methods + 1) / (6 * rows))
    apart = np.abs(ranks[:, None] - ranks[None, :])
    pairwise = studentized_range.sf(apart / error * np.sqrt(2), methods, np.inf)
    return Friedman(float(statistic), float(p), ranks, critical_difference(methods, rows, level), pairwise)


def critical_difference(methods: int, datasets: int, level: float = 0.95) -> float:
    """How far apart two average ranks must be to differ (Nemenyi).

    Args:
        methods: k, at least 2.
        datasets: N, at least 1.
        level: 1 less the level of the test.

    Example:
        >>> round(critical_difference(5, 10), 4)
        1.9288
    """
    from scipy.stats import studentized_range

    if methods < 2 or datasets < 1:
        raise ArgumentError("methods", "at least 2, on at least 1 data set", f"{methods} on {datasets}")
    q = float(studentized_range.ppf(level, methods, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * datasets)))


def corrected_resampled_t(differences: Any, train_rows: int, test_rows: int) -> tuple[float, float]:
    """Corrected t test of differences over cross-validation folds or repeated splits, which share training rows.

        t = mean / sqrt(s^2 (1/n + n_test/n_train))

    Args:
        differences: first less second method, one a fold `[n]`, n at least 2.
        train_rows: rows that each fold trains on.
        test_rows: rows that each fold tests on.

    Returns:
        t and its two-sided p with n - 1 degrees of freedom.

    Raises:
        ArgumentError: fewer than two differences, or no spread.

    Reference:
        Nadeau and Bengio, Inference for the generalization error, Machine Learning 2003.

    Example:
        >>> [round(x, 4) for x in corrected_resampled_t([0.1, 0.2, 0.3], train_rows=90, test_rows=10)]
        [3.0, 0.0955]
    """
    from scipy.stats import t

    d = as_array(differences).astype(np.float64)
    if d.ndim != 1 or d.size < 2 or float(np.ptp(d)) == 0:
        raise ArgumentError("differences", "at least two values that differ", f"{d.tolist()[:8]}")
    if train_rows < 1 or test_rows < 1:
        raise ArgumentError("train_rows", "at least 1, as `test_rows`", f"{train_rows} and {test_rows}")
    statistic = float(d.mean() / np.sqrt(d.var(ddof=1) * (1 / d.size + test_rows / train_rows)))
    return statistic, float(2 * t.sf(abs(statistic), d.size - 1))
