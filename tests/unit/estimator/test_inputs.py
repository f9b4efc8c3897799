"""Tables and labels of every kind."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from steelyard.core.errors import DataError
from steelyard.data.times import is_times
from steelyard.estimator.inputs import from_array, is_frame, labels_of, named, to_frame, weights_of

POLARS = pl.DataFrame(
    {
        "whole": [1, 2, 3],
        "gaps": [1, None, 3],
        "real": [0.5, None, 2.5],
        "text": ["a", None, "b"],
        "flag": [True, False, True],
        "maybe": [True, None, False],
        "day": [dt.date(2024, 1, 1), None, dt.date(2024, 1, 3)],
        "time": pl.Series([dt.datetime(2024, 1, 1, 12), None, dt.datetime(2024, 1, 2)], dtype=pl.Datetime("us", "UTC")),
        "clock": [dt.time(13, 45), None, dt.time(0, 0, 1)],
        "kind": pl.Series(["u", "v", None], dtype=pl.Categorical),
        "price": pl.Series([Decimal("1.5"), Decimal("2.5"), None]),
    }
)


def test_polars_columns_become_those_of_pandas():
    frame = to_frame(POLARS)
    assert list(frame.columns) == POLARS.columns
    assert frame["whole"].dtype.kind == "i"
    assert frame["gaps"].isna().tolist() == [False, True, False]
    assert frame["real"].tolist()[::2] == [0.5, 2.5]
    assert frame["text"].tolist()[::2] == ["a", "b"]
    assert frame["text"].isna().tolist() == [False, True, False]
    assert frame["flag"].dtype.kind == "b"
    assert frame["maybe"].isna().tolist() == [False, True, False]
    assert frame["day"].dtype.kind == frame["time"].dtype.kind == "M"
    assert frame["clock"].tolist()[::2] == [dt.time(13, 45), dt.time(0, 0, 1)] and is_times(frame["clock"])
    assert isinstance(frame["kind"].dtype, pd.CategoricalDtype)
    assert frame["price"].tolist()[:2] == [1.5, 2.5]


def test_lazy_polars_is_collected_and_pandas_is_left_alone():
    assert to_frame(POLARS.lazy()).equals(to_frame(POLARS))
    frame = pd.DataFrame({"a": [1]})
    assert to_frame(frame) is frame


def test_polars_lists_are_refused():
    with pytest.raises(DataError, match="'many'"):
        to_frame(pl.DataFrame({"many": [[1], [2]]}))


def test_arrays_are_no_frames_and_keep_their_memory():
    array = np.zeros((3, 2))
    assert not is_frame(array)
    assert not is_frame([[1, 2]])
    assert is_frame(POLARS)
    assert is_frame(pd.DataFrame())
    assert np.shares_memory(from_array(array).to_numpy(), array)


def test_column_names_become_text_and_rows_are_counted_anew():
    frame = named(pd.DataFrame([[1, 2]], columns=[0, "b"], index=[7]))
    assert list(frame.columns) == ["0", "b"]
    assert frame.index.tolist() == [0]
    with pytest.raises(DataError, match="more than once"):
        named(pd.DataFrame([[1, 2]], columns=[0, "0"]))
    with pytest.raises(DataError, match="levels"):
        named(pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])))


LABELS = [
    [3, 1, 3],
    [3.0, 1.0, 3.0],
    ["b", "a", "b"],
    [True, False, True],
    np.array(["b", "a", "b"]),
    np.array(["b", "a", "b"], dtype=object),
    pd.Series(["b", "a", "b"], dtype="category"),
    pd.Series(["b", "a", "b"], dtype="string"),
    pd.Series([3, 1, 3], dtype="Int64"),
    pd.Series([True, False, True], dtype="boolean"),
    pd.DataFrame({"y": [3, 1, 3]}),
    pl.Series(["b", "a", "b"]),
    pl.DataFrame({"y": [3, 1, 3]}),
    np.array(["2024-01-02", "2024-01-01", "2024-01-02"], dtype="datetime64[D]"),
]


@pytest.mark.parametrize("y", LABELS, ids=lambda y: type(y).__name__)
def test_labels_of_any_type(y):
    classes, codes = labels_of(y)
    assert codes.tolist() == [1, 0, 1]
    assert classes[0] < classes[1]
    assert type(classes[0]) is not pd.Timestamp


@settings(max_examples=25)
@given(st.lists(st.one_of(st.integers(-5, 5)), min_size=1) | st.lists(st.text(max_size=3), min_size=1))
@example(["\0"])
@example(["a\0", "a", "b"])
def test_codes_lead_back_to_the_labels(labels):
    classes, codes = labels_of(labels)
    assert classes[codes].tolist() == labels
    assert sorted(set(labels)) == classes.tolist()


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (None, "y"),
        ([1.5, 2.25, 3.125, 0.1], "Unknown label type"),
        ([1.0, np.nan], "NaN"),
        (["a", None], "NaN"),
        ([1.0, np.inf], "infinity"),
        (np.zeros((3, 2)), "Multilabel and multioutput targets are not supported."),
        (np.array([1, "a"], dtype=object), "label"),
        (np.array([1, "a"] * 20, dtype=object), "Unknown label type: int and str"),
    ],
)
def test_what_is_no_label_is_refused(y, said):
    with pytest.raises(ValueError, match=said):
        labels_of(y)


def test_bytes_are_no_labels():
    with pytest.raises(TypeError, match="bytes"):
        labels_of([b"a", b"b"])


def test_weights_are_checked():
    assert weights_of(None, 3) is None
    assert weights_of(2.0, 3) is None
    assert weights_of(pd.Series([1, 2]), 2).tolist() == [1.0, 2.0]
    for wrong, said in (([0, 0], "zero"), ([1, -1], "0 or more"), ([1, np.nan], "finite"), ([1], "expected"), ([[1, 2]], "1D")):
        with pytest.raises(ValueError, match=said):
            weights_of(wrong, 2)


def test_weights_that_are_not_whole_are_scaled_to_mean_1():
    whole = np.array([0.0, 3.0, 1.0])
    assert weights_of(whole, 3).tolist() == [0.0, 3.0, 1.0]
    for scale in (0.1, 1e-30, 1e30):
        np.testing.assert_allclose(weights_of(whole * scale, 3), [0.0, 1.5, 0.5], rtol=1e-12)


def test_dates_spans_and_categories_of_pyarrow_become_those_of_pandas():
    pa = pytest.importorskip("pyarrow")
    when = pd.Series(pd.date_range("2024-03-30", periods=3, tz="Europe/Berlin"))
    frame = pd.DataFrame(
        {
            "when": when.astype(pd.ArrowDtype(pa.timestamp("us", tz="Europe/Berlin"))),
            "span": pd.Series(pd.to_timedelta([1, 2, None], "h")).astype(pd.ArrowDtype(pa.duration("s"))),
            "city": pd.array(
                pa.array(["a", None, "b"]).dictionary_encode(), dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))
            ),
            "age": pd.array([1, 2, None], dtype=pd.ArrowDtype(pa.int8())),
        }
    )
    frame.index = [7, 7, 8]
    found = named(frame)
    assert found["when"].tolist() == when.tolist()
    assert found["span"].dtype.kind == "m"
    assert isinstance(found["city"].dtype, pd.CategoricalDtype)
    assert found["city"].isna().tolist() == [False, True, False]
    assert found["age"].dtype == frame["age"].dtype
    assert found.index.tolist() == [0, 1, 2]
