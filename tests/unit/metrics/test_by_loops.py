"""Every metric once more, written down from its definition with loops, on the cases where libraries differ."""

from __future__ import annotations

import math

import numpy as np
import pytest

from steelyard import metrics

STYLES = ("spread", "all equal", "few values", "certain")


def probabilities(style: str, rows: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    if style == "all equal":
        return np.full((rows, classes), 1 / classes)
    if style == "certain":
        return np.eye(classes)[rng.integers(0, classes, rows)]
    values = rng.dirichlet(np.full(classes, 0.5), rows) if style == "spread" else rng.integers(1, 4, (rows, classes)) * 1.0
    return values / values.sum(1, keepdims=True)


def area_under_roc(score: np.ndarray, positive: np.ndarray) -> float:
    """Share of pairs in the right order; a tie is half a pair."""
    pairs = [(a > b) + 0.5 * (a == b) for a in score[positive] for b in score[~positive]]
    return float(np.mean(pairs))


def average_precision(score: np.ndarray, positive: np.ndarray) -> float:
    total, before = 0.0, 0.0
    for threshold in sorted(set(score.tolist()), reverse=True):
        taken = score >= threshold
        recall = positive[taken].sum() / positive.sum()
        total, before = total + (recall - before) * positive[taken].mean(), recall
    return total


def calibration_error(confidence: np.ndarray, outcome: np.ndarray, bins: int = 15) -> float:
    total = 0.0
    for b in range(bins):
        last = b == bins - 1
        inside = [i for i, x in enumerate(confidence) if b / bins <= x and (x < (b + 1) / bins or last)]
        if inside:
            total += len(inside) / len(confidence) * abs(np.mean(confidence[inside]) - np.mean(outcome[inside]))
    return total


def by_loops(proba: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    rows, classes = proba.shape
    decided = np.array([min(c for c in range(classes) if row[c] == max(row)) for row in proba])
    right = decided == truth
    present = [c for c in range(classes) if c in truth]
    recall = [right[truth == c].mean() for c in present]
    f1 = [2 * (right & (truth == c)).sum() / ((truth == c).sum() + (decided == c).sum()) for c in present]
    scored = [c for c in ([1] if classes == 2 else present) if c in present]
    with_curve = [c for c in scored if len(present) > 1]
    squares = [sum((proba[i, c] - (truth[i] == c)) ** 2 for c in range(classes)) for i in range(rows)]
    eps = np.finfo(np.float64).eps
    return {
        "accuracy": right.mean(),
        "balanced_accuracy": np.mean(recall),
        "macro_f1": np.mean(f1),
        "g_mean": math.prod(recall) ** (1 / len(present)),
        "worst_recall": min(recall),
        "zero_recall_classes": sum(value == 0 for value in recall),
        "auroc": np.mean([area_under_roc(proba[:, c], truth == c) for c in with_curve]) if with_curve else math.nan,
        "auprc": np.mean([average_precision(proba[:, c], truth == c) for c in scored]) if scored else math.nan,
        "ece": calibration_error(proba.max(1), right),
        "classwise_ece": np.mean([calibration_error(proba[:, c], truth == c) for c in present]),
        "brier": np.mean(squares),
        "log_loss": np.mean([-math.log(max(proba[i, truth[i]], eps)) for i in range(rows)]),
    }


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(25))
def test_every_metric_is_its_definition(style: str, seed: int) -> None:
    rng = np.random.default_rng([seed, STYLES.index(style)])
    classes, rows = int(rng.integers(2, 6)), int(rng.integers(1, 25))
    # Classes above a random one have no rows; with few rows others have none, or are never decided.
    truth = rng.integers(0, rng.integers(1, classes + 1), rows)
    proba = probabilities(style, rows, classes, rng)
    found = metrics.evaluate(proba, truth).values
    for name, expected in by_loops(proba, truth).items():
        assert found[name] == pytest.approx(expected, abs=1e-9, nan_ok=True), name


def test_a_split_of_one_row_has_every_metric_and_every_interval() -> None:
    found = metrics.evaluate([[0.3, 0.7]], [1]).values
    assert (found["accuracy"], found["balanced_accuracy"], found["mcc"]) == (1, 1, 0)
    limits = metrics.intervals([[0.3, 0.7]], [1], metrics.METRICS, resamples=5)
    for name, value in found.items():
        assert limits[name] == pytest.approx((value, value), nan_ok=True), name


def test_a_thousand_classes() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 500, 1500)
    proba = rng.dirichlet(np.full(1000, 0.05), 1500) * 0.5 + 0.5 * np.eye(1000)[truth]
    scores = metrics.evaluate(
        proba, truth, groups={"rule": "halves", "many": range(500), "medium": [], "few": range(500, 1000)}
    )
    assert len(scores.absent) >= 500
    assert np.isnan(scores.values["few_recall"])
    assert scores.values["many_recall"] == scores.values["balanced_accuracy"]
    low, high = metrics.intervals(proba, truth, ("balanced_accuracy",), resamples=100)["balanced_accuracy"]
    assert low <= scores.values["balanced_accuracy"] <= high
