"""A threshold for every label."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.decisions import LabelThresholds


@settings(max_examples=6)
@given(st.integers(0, 100))
def test_each_label_has_the_best_f1_of_all_cuts(seed):
    draws = np.random.default_rng(seed)
    proba, labels = draws.random((25, 3)).round(2), draws.integers(0, 2, (25, 3)).astype(float)
    labels[0], labels[1] = 1, 0
    labels[4:8, 1] = np.nan
    found = LabelThresholds.for_metric(proba, labels)
    for place, cut in enumerate(found.thresholds.tolist()):
        known = ~np.isnan(labels[:, place])
        p, own = proba[known, place], labels[known, place]
        best = max(f1_score(own, p >= other, zero_division=0) for other in [0.0, *p, 1.1])
        assert f1_score(own, p >= cut, zero_division=0) == pytest.approx(best)


def test_decisions_reach_the_threshold():
    decide = LabelThresholds([0.5, 0.2])
    proba = np.array([[0.5, 0.1999], [0.4999, 0.2]])
    assert decide.decide(proba).tolist() == [[1, 0], [0, 1]]
    found = decide.decide(torch.from_numpy(proba))
    assert isinstance(found, torch.Tensor) and found.tolist() == [[1, 0], [0, 1]]


def test_labels_of_one_state_keep_one_half():
    found = LabelThresholds.for_metric(np.random.default_rng(0).random((9, 3)), np.tile([1.0, 0.0, np.nan], (9, 1)))
    assert found.thresholds.tolist() == [0.5, 0.5, 0.5]


def test_they_can_be_written_and_read():
    made = LabelThresholds([0.123456789, 1.1])
    assert torch.equal(LabelThresholds.from_json(made.to_json()).thresholds, made.thresholds)
    again = LabelThresholds([0.0, 0.0])
    again.load_state_dict(made.state_dict())
    assert torch.equal(again.thresholds, made.thresholds) and "0.1235" in repr(again)


@pytest.mark.parametrize("thresholds", [[], [[0.5]], [-0.1], [np.nan], "half"])
def test_what_are_no_thresholds_is_refused(thresholds):
    with pytest.raises(ArgumentError, match="`thresholds`"):
        LabelThresholds(thresholds)


@pytest.mark.parametrize(
    ("proba", "labels", "says"),
    [
        ([[0.5, 0.5]], [[1]], "`proba`"),
        ([[0.5]], [[1], [0]], "`labels`"),
        ([[0.5]], [[3]], "`labels`"),
        ([[1.5]], [[1]], "`proba`"),
        ([["a"]], [[1]], "`proba`"),
    ],
)
def test_what_does_not_fit_is_refused(proba, labels, says):
    with pytest.raises(ArgumentError, match=says):
        LabelThresholds.for_metric(proba, labels)


def test_an_unknown_metric_is_named():
    with pytest.raises(UnknownName, match="metric 'f2'"):
        LabelThresholds.for_metric([[0.5], [0.2]], [[1], [0]], "f2")
