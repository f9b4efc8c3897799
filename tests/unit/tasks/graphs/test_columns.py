"""Features of nodes from the columns of a table."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from steelyard.core.errors import DataError
from steelyard.tasks.graphs.columns import node_features

TABLE = pd.DataFrame({"city": ["rome", "oslo", None, "rome"], "age": [3.0, None, 5.0, 9.0], "on": [True, False, True, True]})


def test_numbers_come_first_and_stay_as_they_are() -> None:
    found = node_features(TABLE[["city", "age", "on"]].dropna(), "t.csv")
    assert found.values.tolist() == [[3, 1, 1], [9, 1, 1]] and found.flags == 1


def test_holes_are_filled_and_shown_where_that_is_asked_for() -> None:
    filled = node_features(TABLE, "t.csv", missing="median")
    assert filled.values[:, 0].tolist() == [3, 5, 5, 9]
    assert filled.values[2, 2:].tolist() == [0, 0] and filled.flags == 2
    shown = node_features(TABLE, "t.csv", missing="indicator")
    assert shown.values[:, :2].tolist() == filled.values[:, :2].tolist()
    assert shown.values[:, 2].tolist() == [0, 1, 0, 0]
    assert shown.values[:, 3:].sum(1).tolist() == [1, 1, 1, 1]  # a missing word is a word of its own


def test_an_empty_column_is_left_out_and_text_that_names_a_row_is_too() -> None:
    frame = TABLE.assign(empty=float("nan"), name_id=list("abcd"))
    found = node_features(frame, "t.csv", missing="median")
    assert torch.equal(found.values, node_features(TABLE, "t.csv", missing="median").values)
    assert any("'name_id' was left out" in note for note in found.notes)


def test_what_cannot_be_used_is_said() -> None:
    with pytest.raises(DataError, match=r"column 'city' of t\.csv has 1 missing values.*--drop city"):
        node_features(TABLE, "t.csv")
    with pytest.raises(DataError, match=r"no feature column left.*'name_id'"):
        node_features(pd.DataFrame({"name_id": ["a", "b"]}), "t.csv")
