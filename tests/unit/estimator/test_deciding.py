"""Calibration and decisions from held-out scores."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, log_loss

from steelyard.core.errors import ArgumentError
from steelyard.decisions import Thresholds
from steelyard.estimator.deciding import (
    Held,
    adjust,
    cost_matrix,
    cross_adjusted,
    decision_of,
    decision_words,
    follows_mix,
    goes_by_mix,
)
from steelyard.estimator.scoring import metric_of


def gaussian(rows=4000, share=0.1, seed=0):
    """Two Gaussians: the log-odds of class 1 are known."""
    draw = np.random.default_rng(seed)
    target = (draw.random(rows) < share).astype(int)
    x = draw.normal(size=rows) + 2 * target
    odds = 2 * x - 2 + np.log(share / (1 - share))
    return odds, target, np.array([1 - share, share])


def held(odds, target, prior, weights=None):
    logits = torch.from_numpy(np.stack([np.zeros_like(odds), odds], 1))
    return Held(logits, torch.from_numpy(target), None if weights is None else torch.from_numpy(weights), prior)


def test_probabilities_of_shifted_and_sharpened_scores_come_back():
    odds, target, prior = gaussian()
    truth = 1 / (1 + np.exp(-odds))
    shifted = held(3 * (odds - np.log(prior[1] / prior[0])), target, prior)  # as after training with logit adjustment
    proba, _ = adjust(shifted, metric_of("log_loss"), "auto").apply(shifted.logits)
    assert np.abs(proba[:, 1] - truth).max() < 0.05
    assert log_loss(target, proba) < log_loss(target, np.stack([1 - truth, truth], 1)) + 1e-3


def test_balanced_accuracy_has_the_decision_of_bayes():
    odds, target, prior = gaussian()
    data = held(odds, target, prior)
    adjustment = adjust(data, metric_of("balanced_accuracy"), "auto")
    _, decided = adjustment.apply(data.logits)
    best = max(balanced_accuracy_score(target, odds > cut) for cut in np.quantile(odds, np.linspace(0, 1, 400)))
    assert balanced_accuracy_score(target, decided) > best - 0.01
    assert adjustment.thresholds.thresholds.tolist() == pytest.approx(prior.tolist())


def test_costs_decide_for_the_least_expected_cost():
    odds, target, prior = gaussian()
    data = held(odds, target, prior)
    cost = np.array([[0.0, 1.0], [20.0, 0.0]])
    proba, decided = adjust(data, metric_of("expected_cost", cost), "auto").apply(data.logits)
    assert np.array_equal(decided, (proba @ cost).argmin(1))


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("balanced_accuracy", "largest probability over class share"),
        ("auprc", "largest probability over class share"),
        ("worst_recall", "largest probability over class share"),
        ("accuracy", "largest probability"),
        ("brier", "largest probability"),
        ("f1", "thresholds for f1"),
        ("mcc", "thresholds for mcc"),
    ],
)
def test_auto_follows_the_metric(metric, words):
    assert decision_words("auto", metric_of(metric)) == words


def test_decisions_of_the_users():
    odds, target, prior = gaussian(500)
    data, metric = held(odds, target, prior), metric_of("auprc")
    mine = Thresholds(0.3)
    assert adjust(data, metric, mine).thresholds is mine
    assert (
        adjust(data, metric, lambda proba, y: Thresholds.for_recall(proba, y, recall=1.0))
        .apply(data.logits)[1][target == 1]
        .all()
    )
    assert decision_words(mine, metric) == "thresholds as given"
    assert decision_of("argmax", metric) == "argmax"


def test_what_is_no_decision_is_refused():
    metric = metric_of("auprc")
    with pytest.raises(ArgumentError, match="decision"):
        decision_of("best", metric)
    with pytest.raises(ArgumentError, match="decision"):
        cost_matrix([[0, 1], [1, 0]], 3)
    with pytest.raises(ArgumentError, match="decision"):
        cost_matrix([[0, np.nan], [1, 0]], 2)
    odds, target, prior = gaussian(100)
    with pytest.raises(ArgumentError, match="Thresholds"):
        adjust(held(odds, target, prior), metric, lambda proba, y: 0.5)


def test_rows_are_judged_by_what_the_others_say():
    """Labels without any relation to scores: fitting thresholds on the rows that they are judged by would look like skill."""
    draw = np.random.default_rng(1)
    target = np.repeat([0, 1], [60, 12])
    data = held(draw.normal(size=72), target, np.array([60, 12]) / 72)
    metric = metric_of("mcc")
    honest = metric.value(*cross_adjusted(data, metric, "auto", 0), target)
    flattered = metric.value(*adjust(data, metric, "auto").apply(data.logits), target)
    assert honest < flattered - 0.1


def test_weights_count_in_calibration_and_decision():
    odds, target, prior = gaussian(400)
    weights = np.random.default_rng(0).integers(1, 4, 400).astype(float)
    again = np.repeat(np.arange(400), weights.astype(int))
    for metric in ("f1", "balanced_accuracy"):
        one = adjust(held(odds, target, prior, weights), metric_of(metric), "auto")
        two = adjust(held(odds[again], target[again], prior), metric_of(metric), "auto")
        logits = held(odds, target, prior).logits
        assert np.allclose(one.apply(logits)[0], two.apply(logits)[0], atol=1e-6)
        assert np.array_equal(one.apply(logits)[1], two.apply(logits)[1])


def test_weights_count_in_a_decision_of_the_users_that_takes_them():
    odds, target, prior = gaussian(400)
    weights = np.random.default_rng(0).choice([1.0, 9.0], 400)
    data, metric = held(odds, target, prior, weights), metric_of("auprc")
    found = adjust(data, metric, partial(Thresholds.for_recall, recall=0.7, prefer="alerts")).apply(data.logits)[1]
    share = weights[(found == 1) & (target == 1)].sum() / weights[target == 1].sum()
    assert 0.7 <= share < 0.7 + 9.0 / weights[target == 1].sum() + 1e-9
    assert adjust(data, metric, lambda proba, y: Thresholds(0.3)).thresholds.num_classes == 2


def test_thresholds_that_happen_to_be_equal_do_not_follow_the_class_mix():
    metric = metric_of("balanced_accuracy")
    assert not follows_mix("auto", metric)
    assert not follows_mix("f1", metric)
    assert not follows_mix(lambda proba, y: Thresholds(0.5), metric)
    assert not follows_mix(Thresholds(0.3), metric)
    assert follows_mix(Thresholds(0.5), metric)
    assert follows_mix("argmax", metric)
    assert follows_mix("auto", metric_of("accuracy"))
    assert follows_mix([[0, 1], [2, 0]], metric)
    assert goes_by_mix(Thresholds.for_costs([[0, 1], [2, 0]]))


def test_no_held_out_rows_leave_scores_as_they_are():
    empty = Held(torch.empty(0, 3).double(), torch.empty(0, dtype=torch.int64), None, np.array([0.5, 0.3, 0.2]))
    logits = torch.randn(5, 3).double()
    for metric in ("f1", "balanced_accuracy", "accuracy"):
        adjustment = adjust(empty, metric_of(metric), "auto")
        assert torch.allclose(adjustment.log_proba(logits), torch.log_softmax(logits, 1))


def test_a_budget_of_alerts_as_a_decision_says_how_to_write_it():
    """A decision is called with probabilities and classes; classes are no number of alerts."""
    rows = held(*gaussian(rows=300))
    with pytest.raises(ArgumentError, match=r"`alerts` should be one number; as a decision write `lambda .*found 300 numbers"):
        adjust(rows, metric_of("auroc"), partial(Thresholds.for_alerts, share=0.1))
    written = adjust(rows, metric_of("auroc"), lambda proba, target: Thresholds.for_alerts(proba, share=0.1))
    assert written.apply(rows.logits)[1].mean() <= 0.1
