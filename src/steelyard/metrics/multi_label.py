"""Metrics of examples with several labels each: ranking and F1 by label, and their means."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.metrics.arrays import Floats, as_array


def as_label_pair(proba: Any, labels: Any) -> tuple[Floats, Floats]:
    """Probabilities and labels `[N, L]` of the same examples, float64; labels that are not known are NaN.

    Raises:
        ArgumentError: not two-dimensional, of different shapes, probabilities outside 0 to 1, or labels other than 0 and 1.
    """
    values, truth = as_array(proba), as_array(labels)
    if values.ndim != 2 or values.shape[0] == 0 or values.shape[1] == 0:
        raise ArgumentError("proba", "a probability for each label [N, L]", f"shape {values.shape}")
    if truth.shape != values.shape:
        raise ArgumentError("labels", f"0 and 1 of shape {list(values.shape)}", f"shape {list(truth.shape)}")
    values, truth = values.astype(np.float64), truth.astype(np.float64)
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise ArgumentError("proba", "probabilities from 0 to 1 (apply sigmoid to log-odds first)", "others")
    if not np.isin(truth[~np.isnan(truth)], (0, 1)).all():
        raise ArgumentError("labels", "0, 1, or NaN where a label is not known", "others")
    return values, truth


def average_precisions(proba: Any, labels: Any) -> Floats:
    """Average precision of each label `[L]`, the step-wise area; NaN for a label that is never present.

    Example:
        >>> average_precisions([[0.9, 0.1], [0.8, 0.2], [0.3, 0.4]], [[1, 0], [0, 0], [1, 0]]).round(4)
        array([0.8333,    nan])
    """
    from sklearn.metrics import average_precision_score

    return _by_label(proba, labels, average_precision_score, negatives=False)


def label_aurocs(proba: Any, labels: Any) -> Floats:
    """Area under the ROC curve of each label `[L]`; NaN for a label that is always or never present.

    Example:
        >>> label_aurocs([[0.9], [0.8], [0.3]], [[1], [0], [1]])
        array([0.5])
    """
    from sklearn.metrics import roc_auc_score

    return _by_label(proba, labels, roc_auc_score, negatives=True)


def _by_label(proba: Any, labels: Any, function: Any, *, negatives: bool) -> Floats:
    values, truth = as_label_pair(proba, labels)
    found = np.full(values.shape[1], np.nan)
    for place in range(values.shape[1]):
        known = ~np.isnan(truth[:, place])
        own = truth[known, place]
        if own.any() and not (negatives and own.all()):
            found[place] = function(own, values[known, place])
    return found


def decided_counts(decided: Any, labels: Any) -> tuple[Floats, Floats, Floats]:
    """For each label, how often it was rightly decided to be present, decided to be, and was `[L]`; known ones only."""
    said, truth = as_array(decided).astype(bool), as_array(labels).astype(np.float64)
    known = ~np.isnan(truth)
    right, there = (said & (truth == 1)).sum(0), (truth == 1).sum(0)
    return right.astype(np.float64), (said & known).sum(0).astype(np.float64), there.astype(np.float64)


def label_f1s(decided: Any, labels: Any) -> Floats:
    """F1 of each label `[L]`; NaN for a label that is never present.

    Example:
        >>> label_f1s([[1, 1], [0, 1]], [[1, 0], [1, 0]]).round(4)
        array([0.6667,    nan])
    """
    right, said, there = decided_counts(decided, labels)
    return np.where(there > 0, 2 * right / np.maximum(said + there, 1), np.nan)


def micro_f1(decided: Any, labels: Any) -> float:
    """F1 of all labels of all examples taken together; NaN where nothing is present.

    Example:
        >>> micro_f1([[1, 1], [0, 1]], [[1, 0], [1, 0]])
        0.4
    """
    right, said, there = (counts.sum() for counts in decided_counts(decided, labels))
    return float(2 * right / (said + there)) if there > 0 else float("nan")


def label_metrics(proba: Any, labels: Any, thresholds: Any = None) -> dict[str, Any]:
    """The numbers that a comparison shows of examples with several labels.

    Labels that are never present in these examples are left out of means over labels.

    Args:
        proba: probabilities `[N, L]`.
        labels: `[N, L]`, 0, 1, or NaN where not known.
        thresholds: `[L]`, chosen on other examples; without, the numbers that need them are NaN.

    Returns:
        `map` (mean average precision), `label_auroc`, `micro_f1` and `label_f1` (mean over labels) with decisions at 0.5,
        `tuned_micro_f1` and `tuned_label_f1` at the thresholds, `label_recall` and `tuned_label_recall`, and `recalls`, the
        recall of each label at 0.5 `[L]`.

    Example:
        >>> label_metrics([[0.9, 0.3], [0.2, 0.4]], [[1, 0], [0, 1]], thresholds=[0.5, 0.35])["tuned_micro_f1"]
        1.0
    """
    values, truth = as_label_pair(proba, labels)
    found: dict[str, Any] = {
        "map": _mean(average_precisions(values, truth)),
        "label_auroc": _mean(label_aurocs(values, truth)),
    }
    cuts = {"": np.full(values.shape[1], 0.5), "tuned_": None if thresholds is None else as_array(thresholds)}
    for name, cut in cuts.items():
        decided = None if cut is None else values >= cut
        right, _, there = (None, None, None) if decided is None else decided_counts(decided, truth)
        recalls = np.array([np.nan]) if right is None else _ratio(right, there)
        found[f"{name}micro_f1"] = float("nan") if decided is None else micro_f1(decided, truth)
        found[f"{name}label_f1"] = float("nan") if decided is None else _mean(label_f1s(decided, truth))
        found[f"{name}label_recall"] = _mean(recalls)
        if not name:
            found["recalls"] = recalls
    return found


def _ratio(part: Floats, whole: Any) -> Floats:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
