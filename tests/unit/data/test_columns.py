from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import QuantileTransformer

from steelyard.core.errors import DataError
from steelyard.data.columns import (
    SCORE_CLIP,
    CategoryColumn,
    DateColumn,
    NumericColumn,
    as_days,
    date_part,
    normal_scores,
)  # fmt: skip


@settings(max_examples=50)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60, unique=True), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9)
)
def test_normal_scores_are_those_of_scikit_learn(train: list[float], new: list[float]) -> None:
    """Between the smallest and the largest value; there the two differ on purpose."""
    values = np.array(train)
    known = QuantileTransformer(n_quantiles=len(values), output_distribution="normal").fit(values[:, None])
    quantiles = known.quantiles_[:, 0]
    asked = np.array([value for value in new + train if quantiles[0] + 1e-6 < value < quantiles[-1] - 1e-6])
    if len(asked):
        assert np.allclose(normal_scores(asked, quantiles), known.transform(asked[:, None])[:, 0], atol=1e-5)


def test_normal_scores_of_equal_values_beyond_the_ends_and_of_constants() -> None:
    quantiles = np.array([0.0] * 60 + [1.0] * 20 + [2.0] * 21)
    zero, one, low, high = normal_scores(np.array([0.0, 1.0, -1.0, 3.0]), quantiles)
    assert zero == pytest.approx(-0.5388, abs=1e-2) and 0.4 < one < 0.7  # the middle of 0..0.59, and of 0.6..0.79
    assert (low, high) == (-np.float32(SCORE_CLIP), np.float32(SCORE_CLIP))
    assert normal_scores(np.array([3.0, 2.0, 4.0]), np.array([3.0, 3.0]), 2.0).tolist() == [0.0, -2.0, 2.0]


def test_parts_of_dates_are_those_of_pandas() -> None:
    column = pd.Series(pd.date_range("1905-01-01", "2150-01-01", freq="31h 7min 13s"))
    days = as_days(column, "x")
    assert date_part(days, "month").tolist() == (column.dt.month - 1).tolist()
    assert date_part(days, "weekday").tolist() == column.dt.day_of_week.tolist()
    hours = column.dt.hour + column.dt.minute / 60 + column.dt.second / 3600
    assert np.allclose(date_part(days, "hour"), hours, atol=1e-6)


def test_dates_have_days_and_parts_on_a_circle() -> None:
    column = DateColumn(NumericColumn("x", 0.0, 0.0, 1.0, indicator=True), ("weekday", "hour"))
    got = column.features(pd.Series(pd.to_datetime(["1970-01-05 06:00", None])))
    assert column.width == got.shape[1] == 6
    assert np.allclose(got[0], [4.25, 0, 0, 1, 1, 0], atol=1e-6)  # a Monday, a quarter of the day
    assert got[1].tolist() == [0, 1, 0, 0, 0, 0]
    for values, message in (
        ([5], "column 'x' has numbers where the training rows have dates, such as '5'"),
        (["soon"], "'soon'"),
    ):
        with pytest.raises(DataError, match=message):
            column.features(pd.Series(values))
    assert column.features(pd.Series(["1970-01-05T06:00"]))[0].tolist() == got[0].tolist()


def test_categories_with_a_number_for_missing_ones() -> None:
    column = CategoryColumn("x", ("a", "b"), missing=True)
    for dtype in ("object", "str", "category"):
        assert column.encode(pd.Series(["b", None, "c", "a"], dtype=dtype)).tolist() == [2, 3, 0, 1]
    assert column.cardinality == 3
    assert CategoryColumn("x", ("1", "2")).encode(pd.Series([2.0, 1.0, None])).tolist() == [2, 1, 0]


def test_numbers_refuse_dates_and_show_text() -> None:
    column = NumericColumn("x", 0.0, 0.0, 1.0)
    with pytest.raises(DataError, match="column 'x' has dates where the training rows have numbers"):
        column.encode(pd.Series(pd.to_datetime(["2024-01-01"])))
    with pytest.raises(DataError, match="column 'x' has text where the training rows have numbers, such as 'many'"):
        column.encode(pd.Series(["1", "many"]))
    assert column.encode(pd.Series(["1.5", None])).tolist() == [1.5, 0.0]
