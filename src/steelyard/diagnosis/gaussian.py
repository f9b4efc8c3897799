"""What imbalance costs the best possible classifier: closed forms for two Gaussian classes with one covariance.

With the log likelihood ratio L(x) = log p(x | minority) / p(x | majority) and the Mahalanobis distance `delta` of the class
means, L is N(+delta^2/2, delta^2) in the minority and N(-delta^2/2, delta^2) in the majority. The Bayes rule at `eta` majority
rows to one minority row decides for the minority where L > log(eta).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis._normal import cdf, log_cdf, log_tail_ratio, pdf, quantile
from steelyard.metrics.arrays import Floats

GRID = np.linspace(-9.5, 9.5, 761)
"""Where the area under the precision-recall curve is summed; the trapezoid rule is exact to rounding for such integrands."""


@dataclass(frozen=True)
class Bayes:
    """What a threshold on the log likelihood ratio gives; each field has the shape of the broadcast arguments.

    Args:
        minority_recall: share of minority rows that are found.
        majority_recall: share of majority rows that are left alone.
        error: share of rows that are wrong, at the evaluation's ratio.
        precision: share of decisions for the minority that are right; NaN where there are none.
        f1: harmonic mean of precision and minority recall.
        balanced_accuracy: mean of the two recalls.
        g_mean: geometric mean of the two recalls.
        mcc: Matthews correlation; 0 where undefined.
        auroc: area under the ROC curve; neither prior changes it.
        boundary_shift: how far the boundary has moved towards the minority's mean, in standard deviations along the
            discriminant.
        slope: d minority recall / d log(eta), the deterioration slope.
    """

    minority_recall: Floats
    majority_recall: Floats
    error: Floats
    precision: Floats
    f1: Floats
    balanced_accuracy: Floats
    g_mean: Floats
    mcc: Floats
    auroc: Floats
    boundary_shift: Floats
    slope: Floats


def bayes(eta: Any, delta: Any, *, eta_test: Any = None, threshold: Any = None) -> Bayes:
    """Recalls, precision, F1 and the rest of the Bayes rule of two Gaussian classes.

        minority recall = Phi(delta/2 - t/delta)        majority recall = Phi(delta/2 + t/delta)        t = log(eta)
        precision = recall / (recall + eta_test * false alarms)
        slope = -phi(delta/2 - t/delta) / delta,        steepest where the recall is 1/2, at t = delta^2 / 2

    Args:
        eta: majority rows to one minority row in training, above 0; any shape.
        delta: Mahalanobis distance of the class means, 0 or more; any shape that broadcasts.
        eta_test: the same ratio where the rule is judged, which enters error, precision, F1 and MCC; `eta` if None.
        threshold: t on the log likelihood ratio; log(eta) if None. A threshold p on the posterior is log(eta) + logit(p).

    Returns:
        Bayes, with float64 fields of the broadcast shape.

    Raises:
        ArgumentError: a ratio that is not above 0, or a negative or infinite distance.

    Reference:
        Bandolo Essomba and Fokoué, arXiv:2601.04149, 2026, for the three scales; the formulas are the textbook's for linear
        discriminant analysis.

    Departures:
        The paper's full text was not at hand; these are derived here. Training and evaluation have ratios of their own:
        precision grows with `eta` only where the test rows are balanced, and falls at the natural ratio.

    Example:
        >>> found = bayes(eta=100, delta=2)
        >>> round(float(found.minority_recall), 4), round(float(found.precision), 4), round(float(found.boundary_shift), 4)
        (0.0964, 0.668, 2.3026)
        >>> bayes([1, 10, 100], 2).minority_recall.round(3).tolist()
        [0.841, 0.44, 0.096]
    """
    ratio, distance = _ratio(eta, "eta"), _distance(delta)
    judged = ratio if eta_test is None else _ratio(eta_test, "eta_test")
    t = np.log(ratio) if threshold is None else np.asarray(threshold, dtype=np.float64)
    ratio, distance, judged, t = np.broadcast_arrays(ratio, distance, judged, t)
    shift = shifted(t, distance)
    tpr, tnr = cdf(distance / 2 - shift), cdf(distance / 2 + shift)
    fpr, missed = cdf(-distance / 2 - shift), cdf(shift - distance / 2)
    # recall / false alarms stays finite where both are too small for a float.
    odds = np.exp(np.minimum(_log_odds(shift, distance), 700.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(np.isfinite(shift), 1 / (1 + judged / odds), np.where(shift < 0, 1 / (1 + judged), np.nan))
        slope = np.where(distance > 0, -pdf(distance / 2 - shift) / distance, np.where(t == 0, -np.inf, 0.0))
    return Bayes(
        minority_recall=tpr,
        majority_recall=tnr,
        error=(missed + judged * fpr) / (1 + judged),
        precision=precision[()],
        f1=2 * tpr / (1 + tpr + judged * fpr),
        balanced_accuracy=(tpr + tnr) / 2,
        g_mean=np.sqrt(tpr * tnr),
        mcc=_mcc(tpr, missed, judged * fpr, judged * tnr),
        auroc=cdf(distance / np.sqrt(2)),
        boundary_shift=shift[()],
        slope=slope[()],
    )


def average_precision(eta_test: Any, delta: Any) -> Floats:
    """Area under the precision-recall curve of two Gaussian classes.

        integral over r from 0 to 1 of   r / (r + eta_test * Phi(Phi^-1(r) - delta))

    Args:
        eta_test: majority rows to one minority row where the scores are judged, above 0; any shape.
        delta: separability of the scores, 0 or more; any shape that broadcasts.

    Returns:
        Areas in (0, 1]; 1 / (1 + eta_test) at `delta` 0, which is what a constant score gets.

    Raises:
        ArgumentError: a ratio that is not above 0, or a negative distance.

    Example:
        >>> average_precision([1, 10, 100], 2).round(4).tolist()
        [0.9218, 0.6481, 0.2676]
    """
    ratio, distance = np.broadcast_arrays(_ratio(eta_test, "eta_test"), _distance(delta))
    step = GRID[1] - GRID[0]
    # With r = Phi(z) the integrand is phi(z) / (1 + eta Phi(z - delta) / Phi(z)), and the ratio is taken in logarithms.
    tail = log_cdf(GRID - distance[..., None]) - log_cdf(GRID)
    inside = pdf(GRID) / (1 + ratio[..., None] * np.exp(tail))
    return np.asarray(inside.sum(-1) * step, dtype=np.float64)[()]


def collapse_eta(delta: Any) -> Floats:
    """Ratio of classes above which the Bayes rule finds less than half of the minority: exp(delta^2 / 2).

    Args:
        delta: Mahalanobis distance of the class means, 0 or more.

    Example:
        >>> collapse_eta([1, 2, 3]).round(3).tolist()
        [1.649, 7.389, 90.017]
    """
    return np.asarray(np.exp(np.square(_distance(delta)) / 2), dtype=np.float64)[()]


def delta_of_auroc(auroc: Any) -> Floats:
    """Separability of scores with an area under the ROC curve: sqrt(2) * Phi^-1(auroc); infinite at 1.

    Args:
        auroc: in [0, 1]; below 1/2 the result is negative.

    Raises:
        ArgumentError: a value outside [0, 1].

    Example:
        >>> round(float(delta_of_auroc(0.9213503964748574)), 6)
        2.0
    """
    area = np.asarray(auroc, dtype=np.float64)
    if not ((area >= 0) & (area <= 1)).all():
        raise ArgumentError("auroc", "from 0 to 1", auroc)
    return np.asarray(np.sqrt(2) * quantile(area), dtype=np.float64)[()]


def shifted(t: Any, delta: Any) -> Floats:
    """The quotient t / delta, with its limits at `delta` 0: 0 where t is 0, else infinite with the sign of t."""
    t, delta = np.broadcast_arrays(np.asarray(t, dtype=np.float64), np.asarray(delta, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(np.where(t == 0, 0.0, t / delta), dtype=np.float64)


def _log_odds(shift: Floats, delta: Floats) -> Floats:
    """Logarithm of minority recall / false alarms."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(shift), log_tail_ratio(shift, delta), 0.0)


def _mcc(tp: Floats, fn: Floats, fp: Floats, tn: Floats) -> Floats:
    """Matthews correlation of the four cells, 0 where a margin is empty."""
    below = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(below > 0, (tp * tn - fp * fn) / below, 0.0), dtype=np.float64)[()]


def _ratio(eta: Any, argument: str) -> Floats:
    values = np.asarray(eta, dtype=np.float64)
    if not ((values > 0) & np.isfinite(values)).all():
        raise ArgumentError(argument, "majority rows to one minority row, above 0", eta)
    return values


def _distance(delta: Any) -> Floats:
    values = np.asarray(delta, dtype=np.float64)
    if not ((values >= 0) & np.isfinite(values)).all():
        raise ArgumentError("delta", "a distance, 0 or more", delta)
    return values
