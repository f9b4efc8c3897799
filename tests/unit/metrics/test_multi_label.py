"""Metrics of several labels, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, recall_score, roc_auc_score

from steelyard.core.errors import ArgumentError
from steelyard.metrics.multi_label import (
    as_label_pair,
    average_precisions,
    decided_counts,
    label_aurocs,
    label_f1s,
    label_metrics,
    micro_f1,
)


def draw(seed, rows=40, labels=4):
    draws = np.random.default_rng(seed)
    proba = draws.random((rows, labels)).round(2)  # with equal scores
    truth = (draws.random((rows, labels)) < [0.5, 0.2, 0.1, 0.9]).astype(float)
    truth[0], truth[1] = 1, 0
    return proba, truth


@settings(max_examples=15)
@given(st.integers(0, 200))
def test_all_numbers_are_those_of_scikit_learn(seed):
    proba, truth = draw(seed)
    cuts = np.array([0.3, 0.5, 0.7, 0.2])
    found = label_metrics(proba, truth, cuts)
    whole = truth.astype(int)
    assert found["map"] == pytest.approx(average_precision_score(whole, proba, average="macro"))
    assert found["label_auroc"] == pytest.approx(roc_auc_score(whole, proba, average="macro"))
    for name, cut in (("", 0.5), ("tuned_", cuts)):
        decided = (proba >= cut).astype(int)
        assert found[f"{name}micro_f1"] == pytest.approx(f1_score(whole, decided, average="micro"))
        assert found[f"{name}label_f1"] == pytest.approx(f1_score(whole, decided, average="macro", zero_division=0))
        assert found[f"{name}label_recall"] == pytest.approx(recall_score(whole, decided, average="macro"))
    np.testing.assert_allclose(found["recalls"], recall_score(whole, (proba >= 0.5).astype(int), average=None))


def test_labels_that_are_not_known_are_left_out_label_by_label():
    proba, truth = draw(1)
    truth[5:15, 2] = np.nan
    known = ~np.isnan(truth[:, 2])
    assert average_precisions(proba, truth)[2] == pytest.approx(average_precision_score(truth[known, 2], proba[known, 2]))
    assert label_aurocs(proba, truth)[2] == pytest.approx(roc_auc_score(truth[known, 2], proba[known, 2]))
    decided = proba >= 0.5
    assert label_f1s(decided, truth)[2] == pytest.approx(f1_score(truth[known, 2], decided[known, 2]))
    every = ~np.isnan(truth)
    assert micro_f1(decided, truth) == pytest.approx(f1_score(truth[every], decided[every]))
    assert decided_counts(decided, truth)[1][2] == decided[known, 2].sum()


def test_labels_that_are_never_present_are_left_out_of_means():
    proba, truth = draw(2)
    truth[:, 1] = 0
    found = label_metrics(proba, truth)
    assert np.isnan(average_precisions(proba, truth)[1]) and np.isnan(found["recalls"][1])
    kept = [0, 2, 3]
    assert found["map"] == pytest.approx(average_precision_score(truth[:, kept].astype(int), proba[:, kept], average="macro"))
    assert np.isnan(found["tuned_label_f1"])  # no thresholds were given
    nothing = label_metrics(proba, np.zeros_like(truth))
    assert np.isnan(nothing["map"]) and np.isnan(nothing["micro_f1"])


@pytest.mark.parametrize(
    ("proba", "labels", "says"),
    [
        ([0.5], [1], "a probability for each label"),
        ([[0.5, 0.2]], [[1]], "shape"),
        ([[1.5]], [[1]], "from 0 to 1"),
        ([[np.nan]], [[1]], "from 0 to 1"),
        ([[0.5]], [[2]], "NaN where a label is not known"),
    ],
)
def test_what_are_no_probabilities_or_labels_is_refused(proba, labels, says):
    with pytest.raises(ArgumentError, match=says):
        as_label_pair(proba, labels)
