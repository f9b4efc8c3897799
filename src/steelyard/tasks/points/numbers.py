"""The numbers that leaf and wood are judged by, of one class against the rest."""

from __future__ import annotations

import math

import numpy as np

from steelyard.core.errors import ArgumentError

NUMBERS = ("recall", "specificity", "g_mean", "mcc", "auroc")


def numbers_of(proba: np.ndarray, target: np.ndarray, positive: int) -> dict[str, float]:
    """Recall, specificity, G-mean, MCC and AUROC of one class against all others together.

    Formula:
        recall = TP / (TP + FN), specificity = TN / (TN + FP), G-mean = sqrt(recall * specificity),
        MCC = (TP TN - FP FN) / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN)), 0 where a factor is 0; AUROC by the probability of
        the class, ties counted half. Where there are no points of the class, or none of the others, what needs them is NaN.

    Args:
        proba: `[N, C]`; the decision is the class with the largest.
        target: classes `[N]`.
        positive: the class.

    Example:
        >>> all_leaf = np.array([[0.1, 0.9]] * 4)
        >>> numbers_of(all_leaf, np.array([1, 1, 1, 0]), 1)
        {'recall': 1.0, 'specificity': 0.0, 'g_mean': 0.0, 'mcc': 0.0, 'auroc': 0.5}
    """
    if not 0 <= positive < proba.shape[1]:
        raise ArgumentError("positive", f"a class from 0 to {proba.shape[1] - 1}", positive)
    truth, said = target == positive, proba.argmax(1) == positive
    tp, tn = float((truth & said).sum()), float((~truth & ~said).sum())
    fp, fn = float((~truth & said).sum()), float((truth & ~said).sum())
    recall = tp / (tp + fn) if tp + fn else math.nan
    specificity = tn / (tn + fp) if tn + fp else math.nan
    below = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return {
        "recall": recall,
        "specificity": specificity,
        "g_mean": math.sqrt(recall * specificity),
        "mcc": (tp * tn - fp * fn) / below if below else 0.0,
        "auroc": _auroc(proba[:, positive], truth),
    }


def _auroc(score: np.ndarray, truth: np.ndarray) -> float:
    """By ranks; of equal scores each has the mean rank."""
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return math.nan
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place.reshape(-1)]
    return float((rank[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))
