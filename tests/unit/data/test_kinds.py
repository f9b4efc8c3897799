from __future__ import annotations

import decimal

import numpy as np
import pandas as pd
import pytest

from steelyard.core.errors import DataError
from steelyard.data.kinds import COMMA, MARKS, WORDS, Column, as_kind, as_written


@pytest.mark.parametrize(
    ("values", "known", "wanted"),
    [
        (["1,5", "-2", None], Column("x", "number", "float64", COMMA), [1.5, -2.0, None]),
        (["1.5", "?"], Column("x", "number", "float64", MARKS), [1.5, None]),
        ([True, False], Column("x", "number", "float64"), [1.0, 0.0]),
        ([decimal.Decimal("1.5"), None], Column("x", "number", "float64"), [1.5, None]),
        (pd.to_timedelta([36], unit="h"), Column("x", "number", "float64"), [1.5]),
        (["Yes", "no"], Column("x", "boolean", "bool", WORDS), [True, False]),
        ([1, 0], Column("x", "boolean", "boolean"), [True, False]),
        ([1.0, 2.5, None], Column("x", "category", "str"), ["1", "2.5", None]),
        (pd.Categorical([2, 1, None]), Column("x", "category", "str"), ["2", "1", None]),
        (["31/12/2024"], Column("x", "date", "datetime64[us]", "%d/%m/%Y"), [pd.Timestamp("2024-12-31")]),
        (["2024-12-31"], Column("x", "date", "datetime64[us]", "%d/%m/%Y"), [pd.Timestamp("2024-12-31")]),
    ],
)
def test_values_become_those_of_the_known_column(values: object, known: Column, wanted: list[object]) -> None:
    read = as_kind(pd.Series(values), known)
    assert str(read.dtype) == known.dtype
    assert [None if pd.isna(value) else value for value in read] == wanted


def test_what_does_not_fit_is_shown() -> None:
    with pytest.raises(DataError, match="column 'x' has dates where there should be numbers, such as '2024"):
        as_kind(pd.Series(pd.to_datetime(["2024-01-01"])), Column("x", "number", "float64"))
    with pytest.raises(DataError, match="column 'x' has text where there should be numbers, such as 'many'"):
        as_kind(pd.Series(["1", "many"]), Column("x", "number", "float64"))


def test_a_column_survives_json_and_damage_is_named() -> None:
    column = Column("x", "date", "datetime64[us]", "%d.%m.%Y", 3)
    assert Column.from_json(column.to_json()) == column
    for key, value in (("kind", "colour"), ("missing", "3"), ("name", None)):
        with pytest.raises(DataError, match=f"damaged at '{key}'"):
            Column.from_json(column.to_json() | {key: value})


def test_text_of_any_type() -> None:
    assert as_written(pd.Series([1, 2])).tolist() == ["1", "2"]
    assert as_written(pd.Series([True, None], dtype=object)).tolist()[0] == "True"
    assert as_written(pd.Series(["a", np.nan])).isna().tolist() == [False, True]


def test_other_files_may_lack_values() -> None:
    assert Column("x", "number", "int64").loosened().dtype == "float64"
    assert Column("x", "boolean", "bool").loosened().dtype == "boolean"
    assert Column("x", "category", "str").loosened().dtype == "str"


def test_marks_of_missing_values_and_commas_of_another_file() -> None:
    number = Column("n", "number", "float64")
    found = as_kind(pd.Series(["1.5", "-", "?", "n.a.", "-2"]), number)
    assert found.isna().tolist() == [False, True, True, True, False]
    assert as_kind(pd.Series(["1,5", "-0,25", "-"]), number, comma=True).tolist()[:2] == [1.5, -0.25]
    with pytest.raises(DataError, match=r"'1,5'.*empty"):
        as_kind(pd.Series(["1,5"]), number)


def test_times_without_a_zone_are_those_of_utc() -> None:
    zoned = Column("d", "date", "datetime64[us, Europe/Berlin]")
    found = as_kind(pd.Series(["2024-01-01T12:00:00+01:00", "2024-07-01 11:00:00", None]), zoned)
    assert str(found.dtype) == zoned.dtype
    assert found.dt.hour.tolist()[:2] == [12.0, 13.0]


def test_a_description_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="damaged"):
        Column.from_json(3)  # type: ignore[arg-type]
