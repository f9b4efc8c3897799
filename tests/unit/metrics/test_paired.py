"""Paired tests and corrections against scipy and against enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from steelyard import metrics
from steelyard.core.errors import ArgumentError

values = st.lists(st.floats(0.1, 0.9), min_size=3, max_size=9, unique=True)


@given(first=values, seed=st.integers(0, 1000))
def test_the_t_test_and_its_interval_agree_with_scipy(first: list[float], seed: int) -> None:
    second = np.random.default_rng(seed).random(len(first))
    result = metrics.paired_test(first, second)
    reference = stats.ttest_rel(first, second)
    assert result.p_t == pytest.approx(reference.pvalue)
    assert (result.low, result.high) == pytest.approx(tuple(reference.confidence_interval(0.95)))
    assert result.test == ("paired t" if len(first) < 6 else "sign-flip permutation (exact)")


@given(differences=st.lists(st.floats(-1, 1), min_size=1, max_size=8))
def test_sign_flips_agree_with_enumeration(differences: list[float]) -> None:
    d = np.array(differences)
    means = [abs(np.dot(signs, d)) for signs in itertools.product((-1, 1), repeat=len(d))]
    reach = abs(d.sum()) - 1e-9 * np.abs(d).sum()
    assert metrics.sign_flip(d) == pytest.approx(np.mean([mean >= reach for mean in means]))
    assert metrics.sign_flip(d) >= metrics.smallest_p(len(d))


def test_sign_flips_agree_with_scipy() -> None:
    d = np.random.default_rng(0).normal(0.4, 1, 10)
    reference = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert metrics.sign_flip(d) == pytest.approx(reference.pvalue)


def test_many_pairs_are_tested_by_ranks() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(20), rng.random(20)
    result = metrics.paired_test(first, second)
    assert (result.test, result.p) == ("Wilcoxon signed-rank", stats.wilcoxon(first - second).pvalue)


def test_five_seeds_never_reach_five_percent_by_signs() -> None:
    assert metrics.sign_flip([1.0, 1.1, 0.9, 1.0, 1.2]) == metrics.smallest_p(5) > 0.05 > metrics.smallest_p(6)


def test_one_pair_and_equal_differences_have_no_test() -> None:
    one = metrics.paired_test([0.7], [0.6])
    assert (one.n, one.test) == (1, "none: one pair")
    same = metrics.paired_test([0.3, 0.4, 0.5], [0.2, 0.3, 0.4])
    assert same.difference == pytest.approx(0.1)
    assert same.test == "none: every difference is the same"
    for result in (one, same):
        assert all(math.isnan(x) for x in (result.p, result.p_t, result.low, result.high))


def test_holm_by_hand() -> None:
    found = metrics.holm({"a": 0.02, "b": 0.001, "c": math.nan, "d": 0.03, "e": 0.5})
    # Sorted: .001 x 4, .02 x 3, .03 x 2 (= .06, not below .06), .5 x 1.
    assert {key: found[key] for key in "bade"} == pytest.approx({"b": 0.004, "a": 0.06, "d": 0.06, "e": 0.5})
    assert math.isnan(found["c"])
    assert metrics.holm({}) == {}


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_order_and_lies_between_p_and_bonferroni(p: list[float]) -> None:
    found = metrics.holm(dict(enumerate(p)))
    for i, j in itertools.product(found, found):
        assert p[i] > p[j] or found[i] <= found[j]
    assert all(p[i] <= found[i] <= min(1, len(p) * p[i]) + 1e-12 for i in found)


def test_the_t_interval_agrees_with_scipy_and_needs_two_values() -> None:
    x = [0.61, 0.64, 0.70]
    expected = stats.t.interval(0.9, 2, np.mean(x), stats.sem(x))
    assert metrics.t_interval(x, 0.9) == pytest.approx((np.mean(x), *expected))
    assert metrics.t_interval([0.5])[0] == 0.5
    assert np.isnan(metrics.t_interval([0.5])[1:]).all()
    assert np.isnan(metrics.t_interval([])).all()


def test_friedman_ranks_the_largest_first_unless_told() -> None:
    table = np.random.default_rng(0).random((8, 4))
    up, down = metrics.friedman(table), metrics.friedman(table, higher_is_better=False)
    assert up.ranks + down.ranks == pytest.approx(5)
    assert up.p == down.p == pytest.approx(stats.friedmanchisquare(*table.T).pvalue)
    assert (up.pairwise == up.pairwise.T).all()


def test_shared_training_rows_make_the_t_test_cautious() -> None:
    d = np.random.default_rng(0).normal(0.02, 0.01, 10)
    t, p = metrics.corrected_resampled_t(d, train_rows=90, test_rows=10)
    plain = stats.ttest_1samp(d, 0)
    assert t == pytest.approx(plain.statistic * math.sqrt(0.1 / (0.1 + 10 / 90)))
    assert p > plain.pvalue


@given(rows=st.lists(st.integers(0, 6), min_size=1, max_size=4), recall=st.floats(0, 1))
def test_the_null_of_the_worst_recall_agrees_with_enumeration(rows: list[int], recall: float) -> None:
    if not any(rows):
        with pytest.raises(ArgumentError, match="`rows`"):
            metrics.worst_recall_null(recall, rows)
        return
    sizes = [n for n in rows if n]
    expected = 0.0
    for right in itertools.product(*(range(n + 1) for n in sizes)):
        chance = math.prod(math.comb(n, k) * recall**k * (1 - recall) ** (n - k) for n, k in zip(sizes, right, strict=True))
        expected += chance * min(k / n for n, k in zip(sizes, right, strict=True))
    assert metrics.worst_recall_null(recall, rows) == pytest.approx(expected, abs=1e-9)


def test_the_null_of_the_worst_recall_on_large_splits_agrees_with_simulation() -> None:
    rows = np.array([30_011, 20_023, 211, 17])
    draws = np.random.default_rng(0).binomial(rows, 0.8, (200_000, 4)) / rows
    assert metrics.worst_recall_null(0.8, rows) == pytest.approx(draws.min(1).mean(), abs=1e-3)


@pytest.mark.parametrize(
    ("pairs", "comparisons", "test"),
    [
        (5, 1, "paired t"),
        (6, 1, "sign-flip"),
        (6, 2, "paired t"),
        (8, 7, "paired t"),
        (9, 7, "sign-flip"),
        (17, 99, "Wilcoxon"),
    ],
)
def test_a_test_that_could_call_nothing_significant_is_not_used(pairs: int, comparisons: int, test: str) -> None:
    first = np.linspace(0.7, 0.8, pairs)
    result = metrics.paired_test(first, np.linspace(0.5, 0.55, pairs), comparisons=comparisons)
    assert result.test.startswith(test)
    if test == "sign-flip":
        assert result.p * comparisons <= 0.05
