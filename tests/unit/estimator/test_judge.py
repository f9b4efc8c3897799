from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, precision_score, recall_score

from steelyard.estimator.judge import alerts, judge, precision_recall


def case(rows=300, classes=2, seed=0):
    draw = np.random.default_rng(seed)
    target = np.concatenate([np.arange(classes), draw.choice(classes, rows - classes, p=_shares(classes))])
    proba = draw.dirichlet(np.ones(classes), rows) * 0.6 + 0.4 * np.eye(classes)[target]
    return proba, target


def _shares(classes):
    share = 0.4 ** np.arange(classes)
    return share / share.sum()


@pytest.mark.parametrize("classes", [2, 4])
def test_decisions_are_judged_as_decided_and_probabilities_as_they_are(classes):
    proba, target = case(classes=classes)
    decided = (proba / proba.mean(0)).argmax(1)
    found = judge(proba, decided, target, np.bincount(target).tolist())
    assert found["metrics"]["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(target, decided))
    assert found["per_class"]["precision"] == pytest.approx(precision_score(target, decided, average=None))
    if classes == 2:
        assert found["metrics"]["auprc"] == pytest.approx(average_precision_score(target == 1, proba[:, 1]))
    for name in ("balanced_accuracy", "auprc", "brier"):
        low, high = found["intervals"][name]
        assert low <= found["metrics"][name] <= high


@given(st.integers(0, 10_000))
def test_points_of_the_curve_are_what_their_thresholds_give(seed):
    proba, target = case(rows=60, seed=seed)
    curve = precision_recall(proba[:, 1], target == 1, proba[:, 1] > 0.5)
    for recall, precision, threshold in zip(curve["recall"], curve["precision"], curve["threshold"], strict=True):
        named = proba[:, 1] >= threshold
        assert recall == pytest.approx(recall_score(target, named))
        assert precision == pytest.approx(precision_score(target, named))
    assert curve["recall"][0] == 1.0 or curve["recall"][-1] == 1.0


def test_long_curves_are_thinned_and_keep_their_ends():
    proba, target = case(rows=5000)
    curve = precision_recall(proba[:, 1], target == 1, proba[:, 1] > 0.5)
    assert 50 < len(curve["recall"]) <= 400
    assert max(curve["recall"]) == 1.0


def test_alerts_count_what_the_highest_scores_hold():
    proba, target = case(rows=1000)
    score, positive = proba[:, 1], target == 1
    for line in alerts(score, positive):
        first = np.argsort(-score)[: line["rows"]]
        assert line["rows"] == round(1000 * line["share"])
        assert line["recall"] == pytest.approx(positive[first].sum() / positive.sum())
        assert line["precision"] == pytest.approx(positive[first].mean())
        assert line["threshold"] == score[first].min()


def test_no_positive_row_gives_no_curve_and_no_alerts():
    nothing = np.zeros(5, dtype=bool)
    assert precision_recall(np.arange(5.0), nothing, nothing) == {}
    assert alerts(np.arange(5.0), nothing) == []
