"""Paired tests: two methods over the same seeds, two classifiers on the same rows; and the correction for many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.metrics.arrays import Floats, as_array, as_decisions

SIGNIFICANT = 0.05
"""The level that a test should be able to reach."""

EXACT_PAIRS = 16
"""Most pairs for which all sign patterns are enumerated (65,536)."""

Key = TypeVar("Key")


@dataclass(frozen=True)
class PairedDifference:
    """The mean of paired differences, its t interval, and a test of it being 0.

    Attributes:
        n: pairs.
        difference: mean of first less second.
        low: lower limit of the t interval; NaN with one pair or without spread.
        high: upper limit.
        p: two-sided, from the test named in `test`; NaN where there is none.
        test: "paired t", "sign-flip permutation (exact)", "Wilcoxon signed-rank", or "none" and why.
        p_t: two-sided, from the paired t test, whatever `test` is.
    """

    n: int
    difference: float
    low: float
    high: float
    p: float
    test: str
    p_t: float


def t_interval(values: Any, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of independent values and its t interval.

    Args:
        values: `[n]`.
        level: confidence, between 0 and 1.

    Returns:
        Mean, lower and upper limit; the limits are NaN with fewer than two values.

    Example:
        >>> [round(x, 4) for x in t_interval([1.0, 2.0, 3.0])]
        [2.0, -0.4841, 4.4841]
    """
    x = as_array(values).astype(np.float64)
    mean = float(x.mean()) if x.size else float("nan")
    if x.size < 2:
        return mean, float("nan"), float("nan")
    from scipy.stats import t

    half = float(t.ppf((1 + level) / 2, x.size - 1)) * float(x.std(ddof=1)) / float(np.sqrt(x.size))
    return mean, mean - half, mean + half


def paired_test(first: Any, second: Any, level: float = 0.95, comparisons: int = 1) -> PairedDifference:
    """Compare two methods over the same seeds (or the same data sets).

    The interval is the t interval of the differences. The test is the paired t test where there are too few pairs for a sign
    or rank test to reach .05 (its smallest p is 2 * 0.5^n, times the number of tests to correct for: below six pairs for one
    test); from there on the exact sign-flip permutation test of the mean, which assumes symmetry only; above sixteen the
    Wilcoxon signed-rank test.

    Args:
        first: a metric of the first method `[n]`, one value a seed.
        second: of the second `[n]`, in the same order.
        level: confidence, between 0 and 1.
        comparisons: tests that will be corrected for together, 1 or more. It decides which test is used; p is not corrected.

    Raises:
        ArgumentError: the lengths differ, or nothing to compare.

    Example:
        >>> result = paired_test([0.71, 0.73, 0.72], [0.61, 0.66, 0.64])
        >>> round(result.difference, 4), round(result.p, 4), result.test
        (0.0833, 0.011, 'paired t')
    """
    a, b = as_array(first).astype(np.float64), as_array(second).astype(np.float64)
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise ArgumentError("second", "as long as `first`, with at least one value each", f"shapes {a.shape} and {b.shape}")
    d = a - b
    mean, low, high = t_interval(d, level)
    if d.size == 1:
        return PairedDifference(1, mean, low, high, float("nan"), "none: one pair", float("nan"))
    # Rounding leaves a spread of about 1e-17 where all differences are the same number; a t test of it means nothing.
    if float(np.ptp(d)) <= 1e-12 * max(1.0, float(np.abs(d).max())):
        nan = float("nan")
        return PairedDifference(d.size, mean, nan, nan, nan, "none: every difference is the same", nan)
    from scipy.stats import ttest_rel

    p_t = float(ttest_rel(a, b).pvalue)
    if smallest_p(d.size) * comparisons > SIGNIFICANT and d.size <= EXACT_PAIRS:
        return PairedDifference(d.size, mean, low, high, p_t, "paired t", p_t)
    if d.size <= EXACT_PAIRS:
        return PairedDifference(d.size, mean, low, high, sign_flip(d), "sign-flip permutation (exact)", p_t)
    from scipy.stats import wilcoxon

    return PairedDifference(d.size, mean, low, high, float(wilcoxon(d).pvalue), "Wilcoxon signed-rank", p_t)


def sign_flip(differences: Any) -> float:
    """Exact two-sided p of the mean of differences being 0, by flipping every pattern of signs.

    Args:
        differences: `[n]`, n at most 16.

    Returns:
        Share of the 2^n sign patterns whose mean is at least as far from 0; at least 2 * 0.5^n.

    Raises:
        ArgumentError: none or more than 16 differences.

    Reference:
        Fisher, The Design of Experiments, 1935.

    Example:
        >>> sign_flip([0.1, 0.2, 0.1, 0.3, 0.2, 0.1])
        0.03125
    """
    d = as_array(differences).astype(np.float64)
    if d.ndim != 1 or not 1 <= d.size <= EXACT_PAIRS:
        raise ArgumentError("differences", f"from 1 to {EXACT_PAIRS} values", f"shape {d.shape}")
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums + value, sums - value])
    # Patterns that tie with the measured one must count, whatever the order of summation rounded.
    reach = abs(float(d.sum())) - 1e-9 * float(np.abs(d).sum())
    return float((np.abs(sums) >= reach).mean())


def smallest_p(pairs: int) -> float:
    """Smallest two-sided p that a sign or rank test of so many pairs can give, 2 * 0.5^n.

    Example:
        >>> smallest_p(5), smallest_p(6)
        (0.0625, 0.03125)
    """
    return min(1.0, 2 * 0.5**pairs)


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's step-down adjustment: compare the results with the level as if there had been one test.

    Args:
        p_values: p by name; NaN (no test) stays NaN and does not count as a test.

    Returns:
        Adjusted p by name, at most 1.

    Reference:
        Holm, Scandinavian Journal of Statistics 1979.

    Example:
        >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
        {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    tested = sorted((key for key, p in p_values.items() if not np.isnan(p)), key=lambda key: p_values[key])
    adjusted, so_far = {}, 0.0
    for rank, key in enumerate(tested):
        so_far = max(so_far, min(1.0, (len(tested) - rank) * p_values[key]))
        adjusted[key] = so_far
    return {key: adjusted.get(key, float("nan")) for key in p_values}


def mcnemar(prediction: Any, other: Any, target: Any, num_classes: int | None = None) -> Floats:
    """Exact McNemar test of two classifiers on the rows of each true class.

    Of the rows of a class that only one of them gets right, each classifier should have half if they are equally good.

    Args:
        prediction: decided classes `[N]` or scores `[N, C]` of the first classifier.
        other: of the second, for the same rows.
        target: true classes `[N]`.
        num_classes: C, if decisions are given and not every class occurs in them.

    Returns:
        Two-sided p for each class `[C]`: 1 where they never differ, NaN for a class without rows. Adjust them with `holm`.

    Reference:
        McNemar, Psychometrika 1947.

    Example:
        >>> mcnemar([0] * 8 + [1], [1] * 8 + [1], [0] * 8 + [1]).tolist()
        [0.0078125, 1.0]
    """
    from scipy.stats import binom

    a, truth, width_a = as_decisions(prediction, target, num_classes)
    b, _, width_b = as_decisions(other, target, num_classes)
    width = max(width_a, width_b)
    only_a = np.bincount(truth[(a == truth) & (b != truth)], minlength=width)
    only_b = np.bincount(truth[(b == truth) & (a != truth)], minlength=width)
    p = np.minimum(1.0, 2 * binom.cdf(np.minimum(only_a, only_b), only_a + only_b, 0.5))
    result: Floats = np.where(np.bincount(truth, minlength=width) > 0, p, np.nan)
    return result
