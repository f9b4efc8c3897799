"""Weighted metrics against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.estimator import scoring
from steelyard.estimator.scoring import METRICS, metric_of


def rows(seed, count=60, classes=2, ties=True):
    draw = np.random.default_rng(seed)
    proba = draw.dirichlet(np.ones(classes), count)
    if ties:
        proba = np.round(proba, 1) + 1e-3
        proba /= proba.sum(1, keepdims=True)
    target = np.concatenate([np.arange(classes), np.arange(classes), draw.choice(classes, count - 2 * classes)])
    if classes == 2:
        target[: count // 2] = 0  # class 1 the rarer
    return proba, proba.argmax(1), target, draw.integers(1, 4, count).astype(float)


REFERENCES = {
    "accuracy": lambda p, d, y, w: sk.accuracy_score(y, d, sample_weight=w),
    "balanced_accuracy": lambda p, d, y, w: sk.balanced_accuracy_score(y, d, sample_weight=w),
    "macro_f1": lambda p, d, y, w: sk.f1_score(y, d, average="macro", sample_weight=w, zero_division=0),
    "mcc": lambda p, d, y, w: sk.matthews_corrcoef(y, d, sample_weight=w),
    "g_mean": lambda p, d, y, w: np.prod(sk.recall_score(y, d, average=None, sample_weight=w)) ** (1 / p.shape[1]),
    "worst_recall": lambda p, d, y, w: sk.recall_score(y, d, average=None, sample_weight=w).min(),
    "log_loss": lambda p, d, y, w: sk.log_loss(y, p, sample_weight=w),
}


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", REFERENCES)
def test_metrics_of_weighted_rows_are_scikit_learns(name, classes):
    for seed in range(3):
        proba, decided, target, weights = rows(seed, classes=classes)
        found = metric_of(name).value(proba, decided, target, weights)
        assert found == pytest.approx(REFERENCES[name](proba, decided, target, weights))


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_ranking_metrics_of_two_classes_are_scikit_learns_with_ties(seed):
    proba, decided, target, weights = rows(seed)
    one = proba[:, 1]
    assert metric_of("auprc").value(proba, decided, target, weights) == pytest.approx(
        sk.average_precision_score(target, one, sample_weight=weights)
    )
    assert metric_of("auroc").value(proba, decided, target, weights) == pytest.approx(
        sk.roc_auc_score(target, one, sample_weight=weights)
    )
    assert metric_of("f1").value(proba, decided, target, weights) == pytest.approx(
        sk.f1_score(target, decided, sample_weight=weights, zero_division=0)
    )


@pytest.mark.parametrize("name", [name for name in METRICS if name != "expected_cost"])
def test_a_row_of_weight_two_counts_as_two_rows(name):
    proba, decided, target, weights = rows(5, classes=3)
    again = np.repeat(np.arange(len(target)), weights.astype(int))
    metric = metric_of(name)
    assert metric.value(proba, decided, target, weights) == pytest.approx(
        metric.value(proba[again], decided[again], target[again])
    )


def test_expected_cost_is_the_mean_of_what_decisions_cost():
    proba, decided, target, weights = rows(0, classes=3)
    cost = np.arange(9.0).reshape(3, 3)
    expected = np.average(cost[target, decided], weights=weights)
    assert metric_of("expected_cost", cost).value(proba, decided, target, weights) == pytest.approx(expected)


def test_brier_is_the_squared_distance_to_the_truth():
    proba, decided, target, weights = rows(0, classes=3)
    expected = np.average(((proba - np.eye(3)[target]) ** 2).sum(1), weights=weights)
    assert metric_of("brier").value(proba, decided, target, weights) == pytest.approx(expected)


def test_resampling_is_paired_and_centred():
    proba, decided, target, _ = rows(0, count=400)
    metric = metric_of("auroc")
    draws = metric.resampled(proba, decided, target, None, seed=3)
    assert np.array_equal(draws, metric.resampled(proba, decided, target, None, seed=3))
    assert abs(draws.mean() - metric.value(proba, decided, target)) < 3 * draws.std() / np.sqrt(len(draws)) + 0.01


def test_resampling_in_parts_gives_the_same_bits(monkeypatch):
    proba, decided, target, _ = rows(0, classes=3)
    whole = metric_of("macro_f1").resampled(proba, decided, target, None, seed=3)
    monkeypatch.setattr(scoring, "HELD_DRAWS", 7 * len(target))
    assert np.array_equal(whole, metric_of("macro_f1").resampled(proba, decided, target, None, seed=3))


def test_a_metric_with_its_interval():
    proba, decided, target, _ = rows(0)
    metric = metric_of("f1")
    value, low, high = metric.estimated(proba, decided, target, None, 0)
    assert low < value < high
    assert value == metric.value(proba, decided, target)
    assert metric_of(lambda p, y: 0.5).estimated(proba, decided, target, None, 0) == (0.5, None, None)


def test_lower_is_better_for_losses_and_costs():
    signs = {name: metric_of(name, np.eye(2)).sign for name in METRICS}
    assert {name for name, sign in signs.items() if sign < 0} == {"expected_cost", "log_loss", "brier"}


def test_a_function_of_the_user_sees_rows_that_count():
    proba, decided, target, weights = rows(0)
    weights[:10] = 0
    metric = metric_of(lambda p, y: float(len(y)))
    assert metric.value(proba, decided, target, weights) == len(target) - 10


def test_a_function_of_the_user_is_told_weights_if_it_takes_them():
    proba, decided, target, weights = rows(0)

    def accuracy(proba, target, sample_weight=None):
        return float(np.average(proba.argmax(1) == target, weights=sample_weight))

    named = metric_of("accuracy")
    assert metric_of(accuracy).value(proba, decided, target, weights) == pytest.approx(
        named.value(proba, decided, target, weights)
    )
    assert metric_of(accuracy).value(proba, decided, target) == pytest.approx(named.value(proba, decided, target))


def test_what_is_no_metric_is_refused():
    with pytest.raises(UnknownName, match="auprc"):
        metric_of("aupcr")
    with pytest.raises(ArgumentError, match="cost matrix"):
        metric_of("expected_cost")
    with pytest.raises(ArgumentError, match="metric"):
        metric_of(3)
