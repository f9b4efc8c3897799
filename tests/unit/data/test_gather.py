from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steelyard.data.gather import Levels, Moments, Numbers, RowSample, Sampled, Treatment, Words


@given(st.lists(st.lists(st.floats(-1e8, 1e8), max_size=9), min_size=1, max_size=6).filter(any), st.integers(0, 5))
@example([[5e-324]], 0)
@example([[0.0], [5e-324], [1.0]], 1)
def test_moments_of_chunks_are_those_of_all_values(chunks: list[list[float]], times: int) -> None:
    moments, values = Moments(), np.concatenate([np.array(chunk) for chunk in chunks])
    for chunk in chunks:
        moments.add(np.array(chunk, dtype=float))
    every = np.concatenate([values, np.full(times, values[0])])
    filled = moments.filled(values[0], times)
    scale = np.abs(values).max() + 1e-150  # below that, squares of doubles are 0
    assert filled.count == len(every) and (moments.low, moments.high) == (values.min(), values.max())
    assert filled.mean == pytest.approx(every.mean(), abs=1e-12 * scale)
    assert filled.std == pytest.approx(every.std(), abs=1e-7 * scale)


def test_moments_of_huge_values() -> None:
    moments = Moments()
    for value in (1.0, 1e308, -1e308):
        moments.add(np.array([value]))
    assert moments.std == pytest.approx(np.sqrt(2 / 3) * 1e308)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=8), st.integers(1, 20))
def test_a_sample_does_not_depend_on_the_chunks(sizes: list[int], most: int) -> None:
    def drawn(chunks: list[int]) -> np.ndarray:
        sample, values, start = RowSample(most, seed=3), Sampled(0), 0
        for size in chunks:
            values.add(np.arange(start, start + size, dtype=float), sample.next(size))
            start += size
        assert len(values.values()) == sample.held == min(most, start)
        return values.values()

    held = drawn(sizes)
    assert np.array_equal(held, drawn([sum(sizes)]))
    assert (np.diff(held) > 0).all()


def test_each_row_is_as_likely_to_be_in_the_sample() -> None:
    times = np.zeros(10)
    for seed in range(2000):
        sample, values = RowSample(3, seed), Sampled(0)
        for start in (0, 5):
            values.add(np.arange(start, start + 5, dtype=float), sample.next(5))
        times[values.values().astype(int)] += 1
    assert np.abs(times / 2000 - 0.3).max() < 0.05  # 5 standard deviations


def test_counts_with_too_many_categories_keep_the_frequent_ones() -> None:
    rng = np.random.default_rng(0)
    levels = Levels("x", Treatment(), most=100)
    column = pd.Series(np.concatenate([[f"often {i % 5}" for i in range(1000)], [f"once {i}" for i in range(2000)]]))
    column = column.iloc[rng.permutation(len(column))]
    for start in range(0, len(column), 50):
        levels.add(column.iloc[start : start + 50])
    assert levels.lost > 0 and "counted roughly" in levels.note()
    assert {f"often {i}" for i in range(5)} <= set(levels.finish().levels)
    exact = Levels("x", Treatment(least=2))
    exact.add(column)
    assert exact.lost == 0 and exact.note() == "" and exact.finish().levels == tuple(f"often {i}" for i in range(5))


def test_a_column_that_starts_late_and_one_too_rare_for_the_sample() -> None:
    numbers = Numbers("x", Treatment(missing="median"), held=2, missing=2)
    numbers.add(pd.Series([1.0, 3.0]), None)
    column = numbers.finish()
    assert (column.fill, column.mean, numbers.missing) == (2.0, 2.0, 2)
    rare = Numbers("x", Treatment(missing="median"))
    rare.add(pd.Series([np.nan, 4.0, np.nan, 8.0]), np.array([0, 2]))
    assert rare.finish().fill == 6.0


def test_words_are_standardised_over_all_rows() -> None:
    text = pd.Series(["late again", "late", None, "paid"])
    words = Words("x", Treatment(missing="indicator"), 16)
    words.add(text.iloc[:1])
    words.add(text.iloc[1:])
    got = words.finish().features(text)
    used = got[:, :-1].std(axis=0) > 0
    assert used.sum() == 3
    assert np.allclose(got[:, :-1].mean(axis=0), 0, atol=1e-6) and np.allclose(got[:, :-1][:, used].std(axis=0), 1, atol=1e-5)
    assert got[:, -1].tolist() == [0, 0, 1, 0]
