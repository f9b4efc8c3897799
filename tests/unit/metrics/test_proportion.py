"""Intervals of a recall and the null of the worst one: against scipy, simulation and the closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from steelyard.core.errors import ArgumentError
from steelyard.metrics.proportion import GRID, balanced_accuracy_error, clopper_pearson, wilson, worst_recall_null


@given(rows=st.integers(1, 300), share=st.floats(0, 1), level=st.sampled_from([0.8, 0.95, 0.99]))
def test_intervals_are_those_of_scipy(rows, share, level):
    right = round(share * rows)
    for function, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        low, high = function(right, rows, level)
        expected = binomtest(right, rows).proportion_ci(level, method)
        assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), abs=1e-9)
        assert 0 <= low <= right / rows <= high <= 1


def test_a_class_without_rows_has_no_interval():
    for function in (wilson, clopper_pearson):
        low, high = function([0, 1], [0, 2])
        assert np.isnan(low[0])
        assert np.isnan(high[0])
        assert not np.isnan(low[1])


def test_the_error_of_balanced_accuracy_is_that_of_a_simulation():
    recall, rows = np.array([0.9, 0.6, 0.3, 0.5]), np.array([200, 50, 10, 0])
    rng = np.random.default_rng(0)
    drawn = (rng.binomial(rows[:3], recall[:3], (100_000, 3)) / rows[:3]).mean(1)
    assert balanced_accuracy_error(recall, rows) == pytest.approx(drawn.std(), rel=0.01)


@given(recall=st.floats(0.05, 0.95), rows=st.integers(1, 60), classes=st.integers(1, 30))
def test_the_worst_of_equal_classes_has_a_closed_form(recall, rows, classes):
    closed = sum(binom.sf(x - 1, rows, recall) ** classes for x in range(1, rows + 1)) / rows
    assert worst_recall_null(recall, [rows] * classes) == pytest.approx(closed, abs=1e-9)


def test_the_worst_of_unequal_classes_is_that_of_a_simulation():
    rows = np.array([100, 40, 7, 7, 3, 0])
    rng = np.random.default_rng(0)
    drawn = (rng.binomial(rows[:5], 0.8, (200_000, 5)) / rows[:5]).min(1).mean()
    assert worst_recall_null(0.8, rows) == pytest.approx(drawn, abs=0.002)


def test_many_rows_are_integrated_on_a_grid():
    rows = [GRID, GRID + 1]
    assert worst_recall_null(0.7, rows) == pytest.approx(0.7 - 0.5642 * np.sqrt(0.21 / GRID), abs=2e-4)


@pytest.mark.parametrize(("recall", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_certain_recalls_stay_certain(recall, expected):
    assert worst_recall_null(recall, [5, 9]) == expected


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: wilson(1, 2, 95), "level"),
        (lambda: clopper_pearson(1, 2, 1.0), "level"),
        (lambda: worst_recall_null(1.2, [5]), "recall"),
        (lambda: worst_recall_null(0.5, [0, 0]), "rows"),
    ],
)
def test_bad_settings_are_refused(call, named):
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        call()
