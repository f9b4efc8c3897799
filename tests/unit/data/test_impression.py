from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.data.impression import Impression
from steelyard.data.tabular import identifiers


@given(
    st.sampled_from(["client_id", "x"]),
    st.one_of(
        st.lists(st.integers(0, 40), min_size=1, max_size=40),
        st.integers(1, 40).map(lambda n: list(range(7, 7 + n))),
        st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=40),
        st.integers(1, 40).map(lambda n: [f"n{i}" for i in range(n)]),
    ),
    st.integers(1, 50),
)
def test_identifiers_are_those_of_tables_in_memory(name: str, values: list[object], rows: int) -> None:
    column = pd.Series(values, name=name)
    impression = Impression(name)
    for start in range(0, len(column), rows):
        impression.add(column.iloc[start : start + rows])
    if impression.column().kind in ("number", "category"):
        assert impression.identifier() == identifiers(column.to_frame()).get(name, "")


@pytest.mark.parametrize("many", [999, 1000, 1500])
def test_numbered_columns_are_judged_by_all_of_their_rows(many: int) -> None:
    column = pd.Series(np.random.default_rng(0).permutation(5000)[:many], name="order no")
    impression = Impression("order no")
    for start in range(0, many, 400):
        impression.add(column.iloc[start : start + 400])
    assert impression.identifier() == identifiers(column.to_frame()).get("order no", "")
    assert bool(impression.identifier()) == (many >= 1000)


def test_a_sampled_identifier_says_so() -> None:
    impression = Impression("client_id")
    impression.distinct.limit = 100
    for start in range(0, 4000, 1000):
        impression.add(pd.Series(range(start * 3, (start + 1000) * 3, 3)))
    assert "among the 1 in" in impression.identifier()


def test_mixed_columns_are_noticed() -> None:
    for first, second, mixed in (
        ([1], [2.5], False),
        ([1], ["a"], True),
        ([True], [1], True),
        (["a"], ["b"], False),
        ([1], [None], False),
    ):
        impression = Impression("x")
        impression.add(pd.Series(first))
        impression.add(pd.Series(second))
        assert impression.mixed == mixed, (first, second)


@pytest.mark.parametrize(("typed", "kind"), [(False, "number"), (True, "category")])
def test_digits_in_typed_text_are_no_numbers(typed: bool, kind: str) -> None:
    impression = Impression("x", separator=";", typed=typed)
    impression.add(pd.Series(["1,5", "2"]))
    assert impression.column().kind == kind


def test_decimal_commas_with_three_places_are_no_thousands() -> None:
    amounts = Impression("amount", separator=";")
    amounts.add(pd.Series(["1,234", "-0,500", "12,000"]))
    assert (amounts.column().kind, amounts.note()) == ("number", "")
    large = Impression("amount", separator=";")
    large.add(pd.Series(["1.234,50", "2.000,00"]))
    assert (large.column().kind, large.column().written) == ("number", "1.234,56")
    unclear = Impression("amount", separator=";")
    unclear.add(pd.Series(["1.234", "2,500"]))
    assert unclear.column().kind == "category" and "thousands" in unclear.note()


def test_marks_among_numbers_are_missing_values_and_told() -> None:
    marked = Impression("age")
    marked.add(pd.Series(["31", "-", "45", "?"]))
    assert marked.column().kind == "number"
    assert marked.note() == "column 'age' has numbers and '-' and '?', taken for missing values"
    alone = Impression("age")
    alone.add(pd.Series(["-", "?"]))
    assert alone.column().kind == "category"
