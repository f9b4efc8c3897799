"""Scores of one classifier on one test split, and the threshold that is moved on training rows."""

from __future__ import annotations

import numpy as np

from steelyard.metrics import auprc, auroc, balanced_accuracy, brier, g_mean

ALERTS = 0.01
"""Share of the rows that can be looked at."""

LOWER = frozenset({"brier", "fit_seconds"})
"""Scores of which less is better."""

NAMES = {
    "auprc": "AUPRC",
    "auroc": "AUROC",
    "balanced_accuracy": "balanced accuracy, own decision",
    "balanced_accuracy_moved": "balanced accuracy, moved threshold",
    "g_mean": "G-mean, own decision",
    "g_mean_moved": "G-mean, moved threshold",
    "brier": "Brier",
    "recall_at_alerts": "recall at 1 % alerts",
    "fit_seconds": "fit seconds",
}
"""Every score, in the order of the tables."""


def recall_at_alerts(score: np.ndarray, target: np.ndarray, share: float = ALERTS) -> float:
    """Share of the positives among the highest-scored rows; of equal scores at the border, what a random choice would find.

    Args:
        score: of the positive class `[N]`.
        target: 0 and 1 `[N]`.
        share: of the rows that are looked at; at least one row is.

    Example:
        >>> recall_at_alerts(np.array([0.9, 0.5, 0.5, 0.1]), np.array([1, 1, 0, 0]), share=0.5)
        0.75
    """
    rows = max(round(share * len(score)), 1)
    border = np.sort(score)[-rows]
    above, at = score > border, score == border
    found = target[above].sum() + target[at].sum() * (rows - above.sum()) / at.sum()
    return float(found / target.sum())


def moved_threshold(score: np.ndarray, target: np.ndarray) -> float:
    """The threshold with the best balanced accuracy on these rows, half-way to the next lower score.

    Rows at or above it are decided positive. Of equally good ones the highest is taken.

    Args:
        score: of the positive class `[N]`, for rows that the classifier did not learn from.
        target: 0 and 1 `[N]`.

    Example:
        >>> moved_threshold(np.array([0.1, 0.2, 0.3, 0.8]), np.array([0, 0, 1, 1]))
        0.25
    """
    values, place = np.unique(-score, return_inverse=True)
    positives = np.bincount(place, weights=target).cumsum()
    negatives = np.bincount(place, weights=1 - target).cumsum()
    gain = positives / positives[-1] - negatives / negatives[-1]
    best = int(gain.argmax())
    lower = values[min(best + 1, len(values) - 1)]
    return float(-(values[best] + lower) / 2)


def scores(proba: np.ndarray, decided: np.ndarray, threshold: float | None, target: np.ndarray) -> dict[str, float]:
    """Every score but the time; Brier is the sum over both classes, between 0 and 2.

    Args:
        proba: as `predict_proba` gave them `[N, 2]`.
        decided: as `predict` gave them `[N]`.
        threshold: moved on training rows; None where `predict` has done that itself, which then counts for both.
        target: 0 and 1 `[N]`.
    """
    score = proba[:, 1]
    moved = decided if threshold is None else (score >= threshold).astype(np.int64)
    return {
        "auprc": auprc(proba, target),
        "auroc": auroc(proba, target),
        "balanced_accuracy": balanced_accuracy(decided, target),
        "balanced_accuracy_moved": balanced_accuracy(moved, target),
        "g_mean": g_mean(decided, target),
        "g_mean_moved": g_mean(moved, target),
        "brier": brier(proba, target),
        "recall_at_alerts": recall_at_alerts(score, target),
    }
