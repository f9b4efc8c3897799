"""Columns kept beside predictions: what is written to Parquet is what the text file had."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.data.table_file import TableFile
from steelyard.estimator.kept_columns import columns_beside

AS_TEXT = {
    "more digits than a number holds": ["123456789012345678901234", "123456789012345678901235"],
    "dates": ["01/02/2024", "05/06/2024"],
    "telephone": ["+4917112345", "+4917112346"],
    "exponents": ["1E5", "2E5"],
    "versions": ["1.1", "1.10"],
    "zeros in front": ["-007", "5"],
    "truth values": ["yes", "no"],
    "decimals of many digits": ["0.12345678901234567", "0.12345678901234568"],
    "minus nothing": ["0", "-0", "1.5"],
    "empty": ["", ""],
    "no number among numbers": ["1", "NA"],
}
AS_NUMBERS = {
    "whole": (["1", "-20", "0"], [1, -20, 0]),
    "large": (["9007199254740993", "9007199254740995"], [9007199254740993, 9007199254740995]),
    "decimals": (["1.5", "2", "-0.25"], [1.5, 2.0, -0.25]),
    "prices": (["1.50", "2.00"], [1.5, 2.0]),
}


def kept(texts: list[str], folder: Path, rows: int = 100) -> pd.Series:
    path = folder / "given.csv"
    pd.DataFrame({"kept": texts, "x": range(len(texts))}).to_csv(path, index=False)
    chunks = columns_beside(TableFile(path), ["kept"], rows, typed=True)
    return pd.concat([chunk["kept"] for chunk in chunks], ignore_index=True)


@pytest.mark.parametrize("rows", [1, 100])
@pytest.mark.parametrize("texts", AS_TEXT.values(), ids=AS_TEXT)
def test_what_a_number_would_not_be_written_back_from_stays_text(texts, rows, tmp_path):
    found = kept(texts, tmp_path, rows)
    assert [None if pd.isna(value) else value for value in found] == [text or None for text in texts]


@pytest.mark.parametrize("rows", [1, 100])
@pytest.mark.parametrize(("texts", "numbers"), AS_NUMBERS.values(), ids=AS_NUMBERS)
def test_numbers_are_numbers(texts, numbers, rows, tmp_path):
    found = kept(texts, tmp_path, rows)
    assert found.tolist() == numbers and found.dtype.kind in "if"


def test_whole_numbers_stay_exact_beside_missing_ones(tmp_path):
    found = kept(["9007199254740993", "", "9007199254740995"], tmp_path)
    assert found.isna().tolist() == [False, True, False]
    assert found.dropna().tolist() == [9007199254740993, 9007199254740995]


numerals = st.from_regex(r"-?[0-9]{1,17}([.][0-9]{1,3})?", fullmatch=True)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(numerals, min_size=2, max_size=6), rows=st.integers(1, 3))
def test_no_two_texts_become_one_value(texts, rows, tmp_path):
    found = kept(texts, tmp_path, rows)
    assert found.nunique() == len(set(texts))
    for text, value in zip(texts, found, strict=True):
        assert value == text or (str(value) == text if found.dtype.kind == "i" else float(text) == value)
