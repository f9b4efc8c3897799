from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import DataError
from steelyard.data.columns import CategoryColumn, DateColumn, NumericColumn, TextColumn
from steelyard.data.columns_json import read_column, written_column

FLOAT = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(5e-324, 1e308)
NUMBER = st.builds(
    NumericColumn,
    st.text(),
    FLOAT,
    FLOAT,
    POSITIVE,
    st.booleans(),
    st.lists(FLOAT, max_size=5).map(sorted).map(tuple),
    POSITIVE,
)
COLUMN = st.one_of(
    NUMBER,
    st.builds(DateColumn, NUMBER, st.sampled_from([(), ("month",), ("weekday", "hour")])),
    st.tuples(FLOAT, POSITIVE).map(lambda both: TextColumn("x", (both[0],), (both[1],), True)),
    st.builds(CategoryColumn, st.text(), st.lists(st.text(), max_size=4).map(tuple), st.booleans()),
)


@given(COLUMN)
def test_a_column_survives_json_to_the_last_bit(column: Any) -> None:
    again = read_column(json.loads(json.dumps(written_column(column), allow_nan=False)))
    assert again == column and type(again) is type(column)
    assert repr(again) == repr(column)  # -0.0 too


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"type": "colour"}, "type"),
        ({"std": 0.0}, "std"),
        ({"std": "1"}, "std"),
        ({"fill": math.nan}, "fill"),
        ({"indicator": 1}, "indicator"),
        ({"quantiles": [2.0, 1.0]}, "quantiles"),
        ({"quantiles": [None]}, "quantiles"),
        ({"name": 5}, "name"),
    ],
)
def test_damage_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(DataError, match=f"damaged at '{named}'"):
        read_column(written_column(NumericColumn("x", 0.0, 0.0, 1.0)) | change)


def test_damage_inside_of_other_columns() -> None:
    number = NumericColumn("x", 0.0, 0.0, 1.0)
    for column, change in (
        (DateColumn(number), {"parts": ["year"]}),
        (DateColumn(number), {"days": {"type": "category", "name": "x", "levels": [], "missing": False}}),
        (TextColumn("x", (0.0,), (1.0,)), {"std": [1.0, 1.0]}),
        (CategoryColumn("x", ("a",)), {"levels": "a"}),
    ):
        with pytest.raises(DataError, match="damaged"):
            read_column(written_column(column) | change)
    gone = written_column(number)
    del gone["mean"]
    with pytest.raises(DataError, match="damaged at 'mean'"):
        read_column(gone)
