"""Judge probabilities and decisions on rows that a model has not seen, as a report shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from steelyard.metrics import evaluate, intervals
from steelyard.metrics.bootstrap import ON_DECISIONS, ON_SCORES
from steelyard.metrics.scores import METRICS

ALERT_SHARES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Shares of the rows, the most suspect first, for which a report says what would be found."""
MOST_POINTS = 400
"""Points of a precision-recall curve that are kept."""
MANY_ROWS = 200_000
"""Rows from which fewer resamples are drawn: their intervals are narrow."""

Json = dict[str, Any]


def judge(proba: np.ndarray, decided: np.ndarray, target: np.ndarray, class_counts: Sequence[int], *, seed: int = 0) -> Json:
    """Every metric with its interval: decisions judged as decided, probabilities as they are.

    Args:
        proba: probabilities `[N, C]`.
        decided: decisions `[N]`, which need not be the largest probability.
        target: true classes `[N]`.
        class_counts: training rows per class `[C]`; the smaller of two classes is the positive one.
        seed: of the resamples.

    Returns:
        "metrics", "intervals", "per_class", "confusion", "reliability" and "notes", as JSON values.

    Example:
        >>> proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
        >>> judge(proba, np.array([0, 0, 1]), np.array([0, 0, 1]), [2, 1])["metrics"]["balanced_accuracy"]
        1.0
    """
    classes = proba.shape[1]
    as_decided = np.eye(classes)[decided]
    scored, decisions = evaluate(proba, target, class_counts), evaluate(as_decided, target, class_counts)
    found = decisions.record()
    found["reliability"] = scored.record()["reliability"]
    found["metrics"] |= {name: scored.values[name] for name in ON_SCORES}
    resamples = 1000 if len(target) <= MANY_ROWS else 200
    limits = intervals(as_decided, target, ON_DECISIONS, seed=seed, class_counts=class_counts)
    limits |= intervals(proba, target, ON_SCORES, resamples=resamples, seed=seed, class_counts=class_counts)
    found["intervals"] = {name: [_finite(low), _finite(high)] for name, (low, high) in limits.items()}
    found["metrics"] = {name: _finite(found["metrics"][name]) for name in METRICS}
    found["per_class"] = {name: [_finite(value) for value in column] for name, column in found["per_class"].items()}
    found["reliability"] = {name: [_finite(value) for value in column] for name, column in found["reliability"].items()}
    return found


def precision_recall(score: np.ndarray, positive: np.ndarray, decided: np.ndarray) -> Json:
    """The precision-recall curve of a positive class, thinned, and where the decision in use lies on it.

    Args:
        score: probability of the positive class `[N]`.
        positive: is the row of that class `[N]`, boolean.
        decided: is it decided to be `[N]`, boolean.
    """
    from sklearn.metrics import precision_recall_curve

    if not positive.any():
        return {}
    precision, recall, threshold = precision_recall_curve(positive, score)
    precision, recall = precision[:-1], recall[:-1]  # the last point has no threshold
    kept = np.unique(np.searchsorted(-recall, -np.linspace(1, 0, MOST_POINTS)).clip(0, len(recall) - 1))
    named = int(decided.sum())
    at = {"recall": float((decided & positive).sum() / positive.sum())}
    at["precision"] = float((decided & positive).sum() / named) if named else 0.0
    values = {"recall": recall[kept], "precision": precision[kept], "threshold": threshold[kept]}
    return {name: column.astype(float).tolist() for name, column in values.items()} | {"at": at if named else None}


def alerts(score: np.ndarray, positive: np.ndarray) -> list[Json]:
    """What is found when a share of the rows can be looked at, the highest scores first.

    Args:
        score: probability of the positive class `[N]`.
        positive: is the row of that class `[N]`, boolean.

    Example:
        >>> alerts(np.linspace(0, 1, 100), np.arange(100) >= 90)[-2]["recall"]
        1.0
    """
    if not positive.any():
        return []
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    lines = []
    for share in ALERT_SHARES:
        rows = round(share * len(score))
        if rows < 1:
            continue
        lines.append(
            {
                "share": share,
                "rows": rows,
                "threshold": float(score[order[rows - 1]]),
                "recall": float(hits[rows - 1] / hits[-1]),
                "precision": float(hits[rows - 1] / rows),
            }
        )
    return lines


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
