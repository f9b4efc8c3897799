"""Metrics of rankings: areas under the ROC and the precision-recall curve, binary or one class against the rest."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.metrics.arrays import Floats, Ints, as_array, as_pair

RANKING_METRICS = ("auroc", "auprc")


def positive_class(class_counts: Any = None) -> int:
    """The positive class of a two-class problem: the one with fewer training rows, class 1 if they are equal or unknown.

    Example:
        >>> positive_class([10, 90]), positive_class([90, 10]), positive_class()
        (0, 1, 1)
    """
    if class_counts is None:
        return 1
    counts = as_array(class_counts)
    return 0 if counts[0] < counts[1] else 1


def scored_classes(target: Ints, classes: int, class_counts: Any = None) -> list[int]:
    """The classes whose curves are averaged: the positive one of two, else all with rows in the split."""
    chosen = [positive_class(class_counts)] if classes == 2 else range(classes)
    rows = np.bincount(target, minlength=classes)
    return [c for c in chosen if rows[c] > 0]


def auroc(proba: Any, target: Any, class_counts: Any = None) -> float:
    """Area under the ROC curve: of the positive class if there are two, else the mean over one-against-rest curves.

    Args:
        proba: probabilities `[N, C]`.
        target: true classes `[N]`.
        class_counts: training rows per class `[C]`; of two classes the smaller is then the positive one, else class 1.

    Returns:
        The area; classes without rows are left out; NaN if the split has rows of one class only.

    Example:
        >>> auroc([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.2, 0.8]], [0, 0, 1, 1])
        0.75
    """
    from sklearn.metrics import roc_auc_score

    values, truth = as_pair(proba, target)
    # A class that owns every row has no negatives, and so no curve.
    chosen = [c for c in scored_classes(truth, values.shape[1], class_counts) if (truth != c).any()]
    return float(np.mean([roc_auc_score(truth == c, values[:, c]) for c in chosen])) if chosen else float("nan")


def auprc(proba: Any, target: Any, class_counts: Any = None) -> float:
    """Average precision (the step-wise area): of the positive class if there are two, else the mean of one against the rest.

    A constant score gets the share of positive rows, so it cannot be compared between splits with other shares.

    Args:
        proba: probabilities `[N, C]`.
        target: true classes `[N]`.
        class_counts: training rows per class `[C]`; of two classes the smaller is then the positive one, else class 1.

    Returns:
        The area; classes without rows are left out; NaN if no class is left.

    Example:
        >>> round(auprc([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6], [0.5, 0.5]], [1, 0, 1, 0, 0]), 6)
        0.833333
    """
    from sklearn.metrics import average_precision_score

    values, truth = as_pair(proba, target)
    chosen = scored_classes(truth, values.shape[1], class_counts)
    return float(np.mean([average_precision_score(truth == c, values[:, c]) for c in chosen])) if chosen else float("nan")


class RankedClass:
    """One class against the rest, sorted once, for areas under many weightings of the rows.

    Rows are put into segments: all rows of one score if a row of the class is among them, and the stretches between. Both
    areas depend on the totals of the segments only, of which there are at most 2 n_c + 1.

    Args:
        score: score of the class `[N]`.
        positive: whether a row is of the class, bool `[N]`; at least one is.
    """

    def __init__(self, score: Floats, positive: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        self.order = np.argsort(-score, kind="stable")
        ranked, found = score[self.order], positive[self.order]
        # Equal scores are one threshold.
        ties = np.flatnonzero(np.append(True, np.diff(ranked) != 0))
        holds = np.logical_or.reduceat(found, ties)
        opens = holds | np.append(True, holds[:-1])
        self.starts = ties[opens]
        self.holds = holds[opens]
        self.positives = self.order[found]
        self.positive_starts = np.flatnonzero(np.diff(np.searchsorted(self.starts, np.flatnonzero(found), "right"), prepend=0))
        self.only = bool(positive.all())

    def areas(self, weights: Ints) -> tuple[Floats, Floats]:
        """AUROC and average precision `[B]` with every row counted `weights[n, b]` times `[N, B]`."""
        drawn = np.add.reduceat(weights[self.order], self.starts, axis=0).astype(np.float64)
        rise = np.zeros_like(drawn)
        rise[self.holds] = np.add.reduceat(weights[self.positives], self.positive_starts, axis=0)
        run = drawn - rise
        found, above = rise.cumsum(0), drawn.cumsum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            roc = (run * (found - rise / 2)).sum(0) / (found[-1] * (above[-1] - found[-1]))
            precision = np.divide(found, above, out=np.zeros_like(found), where=above > 0)
            return roc, (rise * precision).sum(0) / found[-1]
