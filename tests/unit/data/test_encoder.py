from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.encoder import CLIP, MOST_LEVELS, TableEncoder

FINITE = st.floats(-1e6, 1e6)


@given(st.lists(FINITE, min_size=2, max_size=30), st.lists(FINITE, min_size=1, max_size=10))
@example([0.0, 3.5e-304], [31701.0])
def test_statistics_are_those_of_the_training_rows_alone(train: list[float], other: list[float]) -> None:
    encoder = TableEncoder.fit(pd.DataFrame({"x": train}))
    values = np.array(train)
    if values.std() > 1e-6 * max(1.0, np.abs(values).max()):
        expected = np.clip((np.array(other) - values.mean()) / values.std(), -CLIP, CLIP)
        assert np.allclose(encoder.encode(pd.DataFrame({"x": other}))[:, 0].numpy(), expected, rtol=1e-3, atol=1e-4)
    # Encoding further rows never changes what was learnt.
    before = encoder.encode(pd.DataFrame({"x": train}))
    encoder.encode(pd.DataFrame({"x": other}))
    assert torch.equal(before, encoder.encode(pd.DataFrame({"x": train})))


def test_training_rows_are_standardised() -> None:
    x = np.random.default_rng(0).normal(50, 7, 500)
    encoded = TableEncoder.fit(pd.DataFrame({"x": x})).encode(pd.DataFrame({"x": x}))
    assert encoded.dtype == torch.float32
    assert abs(float(encoded.mean())) < 1e-5 and abs(float(encoded.std(correction=0)) - 1) < 1e-5


def test_wild_values_are_clipped_and_huge_ones_do_not_overflow() -> None:
    train = pd.DataFrame({"x": [0.0, 1.0, 2.0], "huge": [-1e308, 0.0, 1e308]})
    encoded = TableEncoder.fit(train).encode(pd.DataFrame({"x": [1e30], "huge": [1e308]}))
    assert encoded.tolist()[0][0] == CLIP
    assert abs(encoded.tolist()[0][1] - np.sqrt(1.5)) < 1e-3


def test_constant_columns_become_zero() -> None:
    encoded = TableEncoder.fit(pd.DataFrame({"x": [3.3] * 4, "z": [0.0, 1, 0, 1]})).encode(
        pd.DataFrame({"x": [3.3], "z": [1.0]})
    )
    assert encoded[0, 0] == 0


def test_columns_that_say_nothing_may_be_left_out_and_are_not_needed_then() -> None:
    rows = {
        "number": [3.3, 3.3, 3.3], "holes": [1.0, None, 1.0], "word": ["a"] * 3, "gaps": ["a", None, "a"],
        "day": pd.to_datetime(["2024-01-01"] * 3), "text": ["one two three four"] * 3, "x": [1.0, 2.0, 4.0],
    }  # fmt: skip
    frame = pd.DataFrame(rows)
    how: dict[str, Any] = {"missing": "indicator", "dates": "parts", "text": "hash", "kinds": {"text": "text"}}
    encoder = TableEncoder.fit(frame, constant="drop", **how)
    assert encoder == TableEncoder.fit_chunks([frame.iloc[:1], frame.iloc[1:]], constant="drop", **how)
    assert encoder.columns() == ["holes", "x", "gaps"]
    assert [note for note in encoder.notes if "the same value in every training row" in note] == list(encoder.notes)
    assert [note.split("'")[1] for note in encoder.notes] == ["number", "word", "day", "text"]
    kept = TableEncoder.fit(frame, **how)
    assert sorted(kept.columns()) == sorted(rows)
    encoder.encode(frame[["x", "gaps", "holes"]])
    with pytest.raises(DataError, match="no column 'x'"):
        encoder.encode(frame.drop(columns="x"))
    alone = TableEncoder.fit(frame[["number", "word"]], constant="drop")
    assert alone.columns() == ["number", "word"]


def test_missing_numbers_take_the_training_median() -> None:
    train = pd.DataFrame({"x": [1.0, 2.0, 100.0, np.nan]})
    encoder = TableEncoder.fit(train, missing="median")
    assert encoder.numeric[0].fill == 2.0
    filled = encoder.encode(pd.DataFrame({"x": [np.nan, 2.0]}))
    assert filled[0, 0] == filled[1, 0]


def test_missing_and_unseen_categories_are_number_zero() -> None:
    train = pd.DataFrame({"c": ["b", "a", None, "b"], "n": [1.0, 2, 3, 4]})
    encoder = TableEncoder.fit(train, missing="median")
    assert encoder.categorical[0].levels == ("a", "b")
    assert encoder.cardinalities == (2,)
    got = encoder.encode(pd.DataFrame({"c": ["a", "b", "zzz", None], "n": [1.0] * 4}))
    assert got["categorical"][:, 0].tolist() == [1, 2, 0, 0]
    wide = encoder.encode(pd.DataFrame({"c": ["a", "b", "zzz", None], "n": [1.0] * 4}), onehot=True)
    assert wide[:, 1:].tolist() == [[1, 0], [0, 1], [0, 0], [0, 0]]


def test_categories_keep_their_number_whatever_the_type_of_the_column() -> None:
    encoder = TableEncoder.fit(pd.DataFrame({"c": pd.Categorical([1, 2, 1])}))
    assert encoder.categorical[0].levels == ("1", "2")
    got = encoder.encode(pd.DataFrame({"c": pd.Categorical([2.0, 1.0])}))
    assert got["categorical"][:, 0].tolist() == [2, 1]


def test_rare_categories_of_a_column_with_very_many_share_number_zero() -> None:
    levels = [f"l{i}" for i in range(MOST_LEVELS + 5)]
    encoder = TableEncoder.fit(pd.DataFrame({"c": levels + levels[:MOST_LEVELS]}))
    got = encoder.encode(pd.DataFrame({"c": levels}))["categorical"][:, 0]
    assert int((got == 0).sum()) == 5 and encoder.cardinalities == (MOST_LEVELS,)
    assert got[MOST_LEVELS:].tolist() == [0] * 5


def test_dates_times_truth_values_and_decimals_are_numbers() -> None:
    day = pd.Timestamp("2020-01-01")
    frame = pd.DataFrame(
        {
            "date": [day, day + pd.Timedelta(days=2)],
            "zoned": pd.to_datetime(["2020-01-01", "2020-01-03"]).tz_localize("UTC"),
            "python": [datetime.date(2020, 1, 1), datetime.date(2020, 1, 3)],
            "span": pd.to_timedelta([1, 3], unit="D"),
            "flag": [True, False],
            "decimal": [decimal.Decimal("1.5"), decimal.Decimal("2.5")],
            "nullable": pd.array([1, 2], dtype="Int64"),
        }
    )
    encoder = TableEncoder.fit(frame)
    assert [column.name for column in encoder.numeric] == list(frame.columns)
    assert encoder.numeric[0].mean == pytest.approx((day - pd.Timestamp(0)).days + 1)
    assert encoder.encode(frame)[:, :4].tolist() == [[-1.0] * 4, [1.0] * 4]


def test_a_column_without_training_values_is_left_out_with_a_note() -> None:
    encoder = TableEncoder.fit(pd.DataFrame({"a": [1.0, 2.0], "b": [np.nan, np.nan]}), missing="median")
    assert encoder.columns() == ["a"]
    assert encoder.notes == ("column 'b' was left out: no training row has a value there",)
    assert encoder.left_out == {"b": "no training row has a value there"}
    assert TableEncoder.from_json(encoder.to_json()).left_out == encoder.left_out


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            {"a": [1.0, np.nan], "b": [np.nan, np.nan]},
            r"column 'a' \(and 1 more columns\) has 1 missing values .*--missing median",
        ),
        ({"a": [1.0, np.inf]}, "column 'a' has 1 infinite values"),
        ({"a": [b"x", b"y"]}, "column 'a' holds bytes values"),
        ({"a": [[1], [2]]}, "column 'a' holds list values"),
        ({"a": [1j, 2j]}, "column 'a' has complex numbers"),
    ],
)
def test_columns_that_cannot_be_used(frame: dict[str, list[object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TableEncoder.fit(pd.DataFrame(frame))


def test_infinite_values_are_refused_also_where_missing_ones_are_filled() -> None:
    with pytest.raises(DataError, match="infinite"):
        TableEncoder.fit(pd.DataFrame({"a": [1.0, np.inf, np.nan]}), missing="median")


def test_rows_that_do_not_fit_the_training_columns() -> None:
    encoder = TableEncoder.fit(pd.DataFrame({"a": [1.0, 2.0]}))
    with pytest.raises(DataError, match="no column 'a'"):
        encoder.encode(pd.DataFrame({"b": [1.0]}))
    with pytest.raises(DataError, match="column 'a' has text where the training rows have numbers"):
        encoder.encode(pd.DataFrame({"a": ["x"]}))


def test_missing_must_be_a_known_word() -> None:
    with pytest.raises(ArgumentError, match="'error', 'median' or 'indicator'"):
        TableEncoder.fit(pd.DataFrame({"a": [1.0]}), missing="mean")
