"""Tests over data sets and folds, against scipy and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, ttest_1samp

from steelyard.core.errors import ArgumentError
from steelyard.metrics.across import corrected_resampled_t, critical_difference, friedman


def test_the_statistic_is_that_of_scipy_and_ties_share_a_rank():
    table = np.random.default_rng(0).integers(0, 5, (12, 4)).astype(float)
    result = friedman(table)
    statistic, p = friedmanchisquare(*table.T)
    assert (result.statistic, result.p) == pytest.approx((statistic, p))
    assert result.ranks.sum() == pytest.approx(10)
    assert np.allclose(result.pairwise, result.pairwise.T)
    assert np.diag(result.pairwise) == pytest.approx(np.ones(4))


def test_the_direction_turns_the_ranks_around():
    table = np.random.default_rng(1).normal(size=(6, 3))
    up, down = friedman(table), friedman(table, higher_is_better=False)
    assert up.ranks == pytest.approx(4 - down.ranks)
    assert up.p == pytest.approx(down.p)


def test_ranks_a_critical_difference_apart_have_the_p_of_the_level():
    table = np.random.default_rng(2).normal(size=(8, 3))
    result = friedman(table, level=0.9)
    apart = np.abs(result.ranks[:, None] - result.ranks)
    assert ((result.pairwise < 0.1) == (apart > result.critical_difference)).all()
    assert result.critical_difference == critical_difference(3, 8, 0.9)


def test_without_shared_rows_the_corrected_test_is_the_usual_one():
    values = np.random.default_rng(3).normal(0.3, 1, 9)
    t, p = corrected_resampled_t(values, train_rows=10**12, test_rows=1)
    usual = ttest_1samp(values, 0)
    assert (t, p) == pytest.approx((usual.statistic, usual.pvalue))
    assert abs(corrected_resampled_t(values, train_rows=90, test_rows=10)[0]) < abs(t)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: friedman([[1, 2], [2, 1]]), "table"),
        (lambda: friedman([[1, 2, 3]]), "table"),
        (lambda: friedman([[1, 2, np.nan], [1, 2, 3]]), "table"),
        (lambda: critical_difference(1, 5), "methods"),
        (lambda: corrected_resampled_t([0.1, 0.1], 9, 1), "differences"),
        (lambda: corrected_resampled_t([0.1, 0.2], 0, 1), "train_rows"),
    ],
)
def test_bad_input_is_refused(call, named):
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        call()
