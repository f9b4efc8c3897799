"""Metrics of pairs, against scikit-learn's ROC curve and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from steelyard.core.errors import ArgumentError
from steelyard.metrics.verification import (
    FARS,
    as_pairs,
    equal_error_rate,
    group_rates,
    tar_at_far,
    threshold_at_far,
    verification_accuracy,
    verification_metrics,
)


def draw(seed, size=300):
    draws = np.random.default_rng(seed)
    same = draws.random(size) < 0.4
    same[:2] = True, False
    return (draws.normal(size=size) + same).round(1), same, draws.integers(0, 5, size)


@settings(max_examples=30)
@given(st.integers(0, 500), st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.5, 1.0]))
def test_rates_are_those_of_the_roc_curve(seed, far):
    scores, same, _ = draw(seed)
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    assert tar_at_far(scores, same, far) == pytest.approx(tpr[fpr <= far + 1e-12].max())
    accepted = scores[~same] > threshold_at_far(scores, same, far)
    assert accepted.mean() <= far + 1e-12


@settings(max_examples=20)
@given(st.integers(0, 500))
def test_the_equal_error_rate_lies_where_both_errors_meet(seed):
    scores, same, _ = draw(seed)
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    grid = np.linspace(0, 1, 20001)
    wanted = grid[np.abs(np.interp(grid, fpr, 1 - tpr) - grid).argmin()]
    assert equal_error_rate(scores, same) == pytest.approx(wanted, abs=2e-2)
    assert 0 <= equal_error_rate(scores, same) <= 1


def test_known_answers():
    assert equal_error_rate([4, 3, 2, 1], [1, 1, 0, 0]) == 0
    assert equal_error_rate([1, 2, 3, 4], [1, 1, 0, 0]) == 1
    assert equal_error_rate([1, 1, 1, 1], [1, 1, 0, 0]) == pytest.approx(0.5)
    assert tar_at_far([4, 3, 2, 1], [1, 0, 1, 0], 0.0) == 0.5
    assert tar_at_far([4, 3, 2, 1], [1, 0, 1, 0], 0.5) == 1.0
    assert threshold_at_far([1, 0], [1, 0], 1.0) == -np.inf


def test_accuracy_takes_the_threshold_from_the_other_folds():
    scores, same, folds = draw(7)
    wanted = []
    for fold in range(5):
        rest, own = folds != fold, folds == fold
        cuts = np.unique(scores[rest])
        middle = [-np.inf, *((cuts[1:] + cuts[:-1]) / 2), np.inf]
        best = max(((scores[rest] >= cut) == same[rest]).mean() for cut in middle)
        chosen = [cut for cut in middle if ((scores[rest] >= cut) == same[rest]).mean() == best]
        wanted.append({((scores[own] >= cut) == same[own]).mean() for cut in chosen})
    found = verification_accuracy(scores, same, folds)
    assert min(map(min, wanted)) <= found <= max(map(max, wanted))
    assert verification_accuracy([1, 0, 1, 0], [1, 0, 1, 0], [0, 0, 1, 1]) == 1


def test_groups_are_judged_at_one_threshold():
    scores, same = np.array([0.9, 0.8, 0.3, 0.2, 0.5, 0.4]), np.array([1, 1, 1, 1, 0, 0])
    groups = np.array([0, 0, 1, 1, 0, 1])
    assert group_rates(scores, same, groups) == {0: 1.0, 1: 0.0}
    found = verification_metrics(scores, same, [0, 1, 0, 1, 0, 1], groups)
    assert found["worst_group_tar"] == 0 and found["mean_group_tar"] == 0.5
    assert found["worst_group_accuracy"] == 0  # within group 1 the impostors are more alike
    bare = verification_metrics(scores, same, [0, 1, 0, 1, 0, 1])
    assert np.isnan(bare["worst_group_tar"]) and bare["tar_at_far_0.1"] == found["tar_at_far_0.1"] == 0.5
    assert {f"tar_at_far_{far:g}" for far in FARS} <= set(bare)


@pytest.mark.parametrize(
    ("scores", "same", "says"),
    [
        ([1.0], [1, 0], "one for each pair"),
        ([1.0, np.nan], [1, 0], "finite"),
        ([1.0, 2.0], [1, 1], "no pairs of two"),
        ([1.0, 2.0], [0, 0], "no pairs of one"),
    ],
)
def test_what_are_no_pairs_is_refused(scores, same, says):
    with pytest.raises(ArgumentError, match=says):
        as_pairs(scores, same)


def test_settings_out_of_range():
    with pytest.raises(ArgumentError, match="`far`"):
        tar_at_far([1, 0], [1, 0], 1.5)
    with pytest.raises(ArgumentError, match="`folds`"):
        verification_accuracy([1, 0], [1, 0], [0, 0])
