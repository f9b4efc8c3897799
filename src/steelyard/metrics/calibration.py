"""Metrics of probabilities: are they as often right as they say (ECE), and how far are they off (Brier, log loss)?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.metrics.arrays import Floats, Ints, as_pair

CALIBRATION_METRICS = ("ece", "classwise_ece", "brier", "log_loss")


def bin_of(confidence: Floats, bins: int) -> Ints:
    """Equal-width bin of each value in [0, 1]: closed below, open above, the last one closed."""
    if bins < 1:
        raise ArgumentError("bins", "at least 1", bins)
    edges = np.linspace(0.0, 1.0, bins + 1)
    found: Ints = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1).astype(np.int64)
    return found


class Binned:
    """Confidences sorted into bins once, for the calibration error under many weightings of the rows.

    Args:
        confidence: what was promised, in [0, 1], `[N]`.
        bins: how many equal-width bins.
    """

    def __init__(self, confidence: Floats, bins: int) -> None:
        where = bin_of(confidence, bins)
        self.order = np.argsort(where, kind="stable")
        self.starts = np.flatnonzero(np.diff(where[self.order], prepend=-1))
        self.confidence = confidence[self.order]

    def error(self, outcome: Floats, weights: Ints | None = None) -> Floats:
        """Sum over bins of |promised - kept| / N: one value, or `[B]`.

        Args:
            outcome: what was kept: 1 or 0 a row, `[N]` or `[N, B]`.
            weights: how often each row is counted `[N, B]`; once if None. Each column has the same sum.
        """
        kept = outcome[self.order]
        promised = self.confidence if weights is None and kept.ndim == 1 else self.confidence[:, None]
        gap = promised - (kept if kept.ndim == promised.ndim else kept[:, None])
        rows = self.confidence.shape[0]
        if weights is not None:
            gap, rows = gap * weights[self.order], int(weights[:, 0].sum())
        result: Floats = np.abs(np.add.reduceat(gap, self.starts, axis=0)).sum(0) / rows
        return result


def top_label(proba: Floats, target: Ints) -> tuple[Floats, Floats]:
    """Confidence of the decided class and whether it was right (1.0 or 0.0), each `[N]`."""
    decided = proba.argmax(1)
    return proba.max(1), (decided == target).astype(np.float64)


def ece(proba: Any, target: Any, bins: int = 15) -> float:
    """Expected calibration error of the decided class.

        sum_b |b|/N * |accuracy_b - mean confidence_b|   over equal-width bins of the top probability

    It is biased up: even perfectly calibrated probabilities get more than 0 from few rows; see `calibration_test`.

    Args:
        proba: probabilities `[N, C]`.
        target: true classes `[N]`.
        bins: number of bins.

    Reference:
        Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017.

    Departures:
        Bins are [low, high) and the last is closed; Guo et al.'s released code has (low, high], which matters for values on
        an edge only.

    Example:
        >>> p = [0.95] * 4 + [0.65] * 2 + [0.55] * 2
        >>> round(ece([[x, 1 - x] for x in p], [0, 0, 0, 1, 0, 1, 0, 1], bins=10), 6)
        0.15
    """
    values, truth = as_pair(proba, target)
    confidence, right = top_label(values, truth)
    return float(Binned(confidence, bins).error(right))


def classwise_ece(proba: Any, target: Any, bins: int = 15) -> float:
    """Mean over classes of the calibration error of that class's probability over all rows.

        mean_c sum_b |b|/N * |share of rows of class c in bin b - mean p_c in bin b|

    Args:
        proba: probabilities `[N, C]`.
        target: true classes `[N]`.
        bins: number of bins.

    Reference:
        Kull et al., Beyond temperature scaling, NeurIPS 2019.

    Departures:
        The mean is over the classes with rows in the split, as everywhere in this package.

    Example:
        >>> classwise_ece([[1.0, 0.0], [0.0, 1.0]], [0, 1])
        0.0
    """
    values, truth = as_pair(proba, target)
    return float(np.mean([Binned(values[:, c], bins).error((truth == c).astype(np.float64)) for c in np.unique(truth)]))


def brier_rows(proba: Floats, target: Ints) -> Floats:
    """Squared distance of each row's probabilities from the truth, between 0 and 2, `[N]`."""
    at_truth = proba[np.arange(target.shape[0]), target]
    result: Floats = (proba**2).sum(1) - 2 * at_truth + 1
    return result


def brier(proba: Any, target: Any) -> float:
    """Brier score in its original form: mean over rows of sum_c (p_c - y_c)^2, between 0 and 2.

    Args:
        proba: probabilities `[N, C]`.
        target: true classes `[N]`.

    Reference:
        Brier, Monthly Weather Review 1950.

    Departures:
        scikit-learn halves the binary score unless told otherwise; this never does.

    Example:
        >>> round(brier([[0.1, 0.9], [0.9, 0.1]], [1, 0]), 6)
        0.02
    """
    values, truth = as_pair(proba, target)
    return float(brier_rows(values, truth).mean())


def log_loss_rows(proba: Floats, target: Ints) -> Floats:
    """-log of the probability of the true class, clipped at the smallest step of float64 (36.04 at most), `[N]`."""
    at_truth = proba[np.arange(target.shape[0]), target]
    result: Floats = -np.log(np.maximum(at_truth, np.finfo(np.float64).eps))
    return result


def log_loss(proba: Any, target: Any) -> float:
    """Mean of -log p(true class), clipped in float64 so that a probability of 0 costs 36.04 and not infinity.

    Args:
        proba: probabilities `[N, C]`.
        target: true classes `[N]`.

    Example:
        >>> round(log_loss([[0.5, 0.5], [0.5, 0.5]], [0, 1]), 6)
        0.693147
    """
    values, truth = as_pair(proba, target)
    return float(log_loss_rows(values, truth).mean())


def reliability(proba: Any, target: Any, bins: int = 15) -> dict[str, list[float]]:
    """The reliability diagram of the decided class.

    Args:
        proba: probabilities `[N, C]`.
        target: true classes `[N]`.
        bins: number of equal-width bins.

    Returns:
        `bin_low`, `bin_high`, `count`, `confidence` (mean) and `accuracy`, a value a bin; the last two are NaN in empty bins.

    Example:
        >>> reliability([[0.9, 0.1], [0.6, 0.4]], [0, 1], bins=2)["accuracy"]
        [nan, 0.5]
    """
    values, truth = as_pair(proba, target)
    confidence, right = top_label(values, truth)
    where = bin_of(confidence, bins)
    rows = np.bincount(where, minlength=bins)
    edges = np.linspace(0.0, 1.0, bins + 1)
    with np.errstate(invalid="ignore"):
        promised = np.bincount(where, confidence, bins) / rows
        kept = np.bincount(where, right, bins) / rows
    return {
        "bin_low": edges[:-1].tolist(),
        "bin_high": edges[1:].tolist(),
        "count": rows.tolist(),
        "confidence": promised.tolist(),
        "accuracy": kept.tolist(),
    }


@dataclass(frozen=True)
class CalibrationTest:
    """How much of an ECE is more than chance.

    Attributes:
        ece: the error that was measured.
        expected: its mean if the probabilities were exactly right, with as many rows.
        excess: `ece - expected`: the error with the bias taken off (may be negative).
        p: share of resamples in which exactly right probabilities had at least this error.
    """

    ece: float
    expected: float
    excess: float
    p: float


def calibration_test(proba: Any, target: Any, bins: int = 15, resamples: int = 1000, seed: int = 0) -> CalibrationTest:
    """Compare the ECE with what perfectly calibrated probabilities would get from the same number of rows.

    Args:
        proba: probabilities `[N, C]`.
        target: true classes `[N]`.
        bins: number of bins.
        resamples: how often outcomes are drawn from the probabilities, at least 1.
        seed: of the draws.

    Raises:
        ArgumentError: `resamples` below 1, or bad probabilities or classes.

    Reference:
        Vaicenavicius et al., Evaluating model calibration in classification, AISTATS 2019 (consistency resampling).

    Example:
        >>> calibration_test([[0.9, 0.1]] * 50, [1] * 50).p < 0.01
        True
    """
    if resamples < 1:
        raise ArgumentError("resamples", "at least 1", resamples)
    values, truth = as_pair(proba, target)
    confidence, right = top_label(values, truth)
    binned = Binned(confidence, bins)
    measured = float(binned.error(right))
    rng = np.random.default_rng([seed, 2])
    rows = confidence.shape[0]
    chunk = max(1, 2_000_000 // rows)
    # Whether the decided class is right is a coin with the promised probability: no need to draw whole labels.
    null = np.concatenate(
        [
            binned.error((rng.random((rows, min(chunk, resamples - done))) < confidence[:, None]).astype(np.float64))
            for done in range(0, resamples, chunk)
        ]
    )
    p = (1 + int((null >= measured - 1e-12).sum())) / (1 + resamples)
    return CalibrationTest(measured, float(null.mean()), measured - float(null.mean()), p)
