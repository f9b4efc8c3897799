from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.report.aggregate import blocks_of, confusion, curves, per_class, reliability, trend
from steelyard.report.store import Run


def run(seed: int = 0, log: list | None = None, **result) -> Run:
    return Run("la", seed, result, log or [])


def test_per_class_is_the_mean_over_seeds_and_skips_what_is_missing():
    runs = [run(per_class={"recall": [0.5, math.nan]}), run(per_class={"recall": [0.7, math.nan]}), run(per_class={})]
    assert per_class(runs, "recall", 2) == [pytest.approx(0.6), None]
    assert per_class(runs, "f1", 2) is None


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 1)), min_size=1, max_size=200))
def test_the_trend_is_short_sorted_and_keeps_within_the_values(pairs):
    counts, values = [n for n, _ in pairs], [v for _, v in pairs]
    x, y = trend(counts, values, most=24)
    assert len(x) == len(y) <= 24
    assert x == sorted(x)
    assert all(min(values) - 1e-3 <= v <= max(values) + 1e-3 for v in y)
    # Each class is in one block, so blocks average to the classes' mean when there is only one.
    if len(set(counts)) == 1:
        assert y == [pytest.approx(np.mean(values), rel=1e-3, abs=1e-6)]


def test_the_trend_of_distinct_sizes_is_the_values_themselves():
    assert trend([5, 50, 500], [0.1, None, 0.9]) == ([5.0, 50.0, 500.0], [0.1, None, 0.9])


def test_curves_average_seeds_of_different_length():
    logs = [[{"stage": 0, "train_loss": 2.0}, {"stage": 1, "train_loss": 1.0}], [{"stage": 0, "train_loss": 4.0}]]
    result = curves([run(seed, log) for seed, log in enumerate(logs)])
    assert result["train_loss"] == {"mean": [3.0, 1.0], "low": [2.0, 1.0], "high": [4.0, 1.0]}
    assert result["stages"] == [[1, "0"], [2, "1"]]
    assert "valid_loss" not in result


def test_confusion_sums_seeds_and_normalises_rows_of_blocks():
    tables = [[[8, 2, 0], [0, 0, 0], [1, 1, 2]], [[6, 4, 0], [0, 0, 0], [0, 0, 4]]]
    runs = [run(confusion=table) for table in tables]
    assert confusion(runs, [[0], [1], [2]], 3) == [[700, 300, 0], [None, None, None], [125, 125, 750]]
    # Rows of a block: all test rows of its classes; columns: all predictions of them.
    assert confusion(runs, [[0, 1], [2]], 3) == [[1000, 0], [250, 750]]
    assert confusion([run(confusion=[[1]])], [[0], [1], [2]], 3) is None


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=300))
def test_blocks_hold_every_class_once_largest_first(counts):
    members, short, long = blocks_of(counts, [f"c{i}" for i in range(len(counts))])
    flat = [c for part in members for c in part]
    assert sorted(flat) == list(range(len(counts)))
    assert [counts[c] for c in flat] == sorted(counts, reverse=True)
    assert len(members) == len(short) == len(long) <= 100


def test_reliability_pools_seeds_by_rows():
    first = {"count": [0, 10, 30], "confidence": [math.nan, 0.5, 0.9], "accuracy": [math.nan, 0.4, 0.8]}
    second = {"count": [0, 30, 30], "confidence": [None, 0.6, 0.9], "accuracy": [None, 0.8, 0.6]}
    pooled = reliability([run(reliability=first), run(reliability=second), run(reliability=None)])
    assert pooled == {
        "confidence": [pytest.approx(0.575), pytest.approx(0.9)],
        "accuracy": [pytest.approx(0.7), pytest.approx(0.7)],
        "share": [pytest.approx(0.4), pytest.approx(0.6)],
    }
    assert reliability([run()]) is None
