"""Areas under curves against scikit-learn, and under weights against repeated rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from steelyard import metrics
from steelyard.metrics.ranking import RankedClass


def problem(seed: int, rows: int, classes: int, digits: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, rounded so that scores tie if `digits` is given, and classes that all occur."""
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    logits = rng.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[truth]
    proba = np.exp(logits) if digits is None else np.round(np.exp(logits), digits) + 0.1
    return proba / proba.sum(1, keepdims=True), truth


@given(seed=st.integers(0, 10**6), classes=st.integers(3, 6))
def test_one_against_the_rest_agrees_with_scikit_learn(seed: int, classes: int) -> None:
    proba, truth = problem(seed, 40, classes)
    assert metrics.auroc(proba, truth) == pytest.approx(sk.roc_auc_score(truth, proba, multi_class="ovr", average="macro"))
    assert metrics.auprc(proba, truth) == pytest.approx(sk.average_precision_score(np.eye(classes)[truth], proba))


def test_the_smaller_training_class_of_two_is_positive() -> None:
    proba, truth = problem(3, 60, 2)
    smaller_is_0 = metrics.auprc(proba, truth, class_counts=[10, 90])
    assert smaller_is_0 == pytest.approx(sk.average_precision_score(truth == 0, proba[:, 0]))
    for counts in (None, [90, 10], [50, 50]):
        assert metrics.auprc(proba, truth, counts) == pytest.approx(sk.average_precision_score(truth, proba[:, 1]))
    assert smaller_is_0 != pytest.approx(metrics.auprc(proba, truth))
    note = next(note for note in metrics.evaluate(proba, truth, [10, 90]).notes if "positive" in note)
    assert "take class 0 as positive, the class with fewer training rows" in note
    assert f"{(truth == 0).mean():.3g}" in note


def test_classes_without_rows_are_left_out() -> None:
    proba, truth = problem(5, 50, 4)
    kept = truth != 2
    proba, truth = proba[kept], truth[kept]
    assert metrics.auprc(proba, truth) == pytest.approx(
        np.mean([sk.average_precision_score(truth == c, proba[:, c]) for c in (0, 1, 3)])
    )
    assert metrics.auroc(proba, truth) == pytest.approx(np.mean([sk.roc_auc_score(truth == c, proba[:, c]) for c in (0, 1, 3)]))


@pytest.mark.parametrize("classes", [2, 3])
def test_one_class_only_has_no_roc_curve(classes: int) -> None:
    proba = np.full((5, classes), 1 / classes)
    assert np.isnan(metrics.auroc(proba, [1] * 5))
    assert metrics.auprc(proba, [1] * 5) == 1.0
    assert np.isnan(metrics.auprc(proba, [0] * 5)) == (classes == 2)
    assert np.isnan(metrics.evaluate(proba, [0] * 5).values["auroc"])


@given(seed=st.integers(0, 10**6), digits=st.sampled_from([None, 0, 1]))
def test_a_row_counted_w_times_is_w_rows(seed: int, digits: int | None) -> None:
    proba, truth = problem(seed, 30, 2, digits)
    score, positive = proba[:, 1], truth == 1
    weights = np.random.default_rng(seed).integers(0, 3, (30, 4))
    weights[np.flatnonzero(positive)[0]] = weights[np.flatnonzero(~positive)[0]] = 1
    roc, precision = RankedClass(score, positive).areas(weights)
    for b in range(4):
        scores, truths = np.repeat(score, weights[:, b]), np.repeat(positive, weights[:, b])
        assert roc[b] == pytest.approx(sk.roc_auc_score(truths, scores))
        assert precision[b] == pytest.approx(sk.average_precision_score(truths, scores))
