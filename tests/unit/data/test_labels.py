from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import DataError
from steelyard.data.labels import encode_labels, label_name, sort_labels


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=12, unique=True), st.integers(2, 6), st.booleans())
def test_numbers_are_numbered_by_value_and_come_back(values: list[int], repeats: int, as_float: bool) -> None:
    raw = np.repeat(np.array(values), repeats).astype(np.float64 if as_float else np.int64)
    names, target = encode_labels({"train": raw})
    assert names == tuple(str(value) for value in sorted(values))
    assert [int(names[c]) for c in target["train"].tolist()] == raw.tolist()
    assert target["train"].dtype == torch.int64


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1), min_size=2, max_size=8, unique=True)
)
def test_text_comes_back(values: list[str]) -> None:
    raw = np.array(values * 3, dtype=object)
    names, target = encode_labels({"train": raw})
    assert [names[c] for c in target["train"].tolist()] == raw.tolist()
    assert set(names) == set(values)


def test_numbers_written_as_text_are_ordered_by_value() -> None:
    assert sort_labels({"10", "9", "-1", "2.5"}) == ("-1", "2.5", "9", "10")
    assert sort_labels({"b", "a", "10"}) == ("10", "a", "b")


def test_splits_share_the_numbering_whatever_their_type() -> None:
    names, target = encode_labels({"train": np.array([3, 5, 3, 5]), "test": np.array([5.0, 3.0])})
    assert names == ("3", "5")
    assert target["test"].tolist() == [1, 0]
    _, target = encode_labels({"train": np.array([3, 5, 3, 5]), "test": np.array(["5", "3"], dtype=object)})
    assert target["test"].tolist() == [1, 0]


def test_one_label_in_two_spellings_is_one_class() -> None:
    names, target = encode_labels({"train": np.array([1, 1.0, "1", 0, "0", 0.0], dtype=object)})
    assert names == ("0", "1")
    assert target["train"].tolist() == [1, 1, 1, 0, 0, 0]


def test_given_names_are_kept_in_order_for_numbers_and_for_names() -> None:
    names, target = encode_labels({"train": np.array([1, 0, 1, 0])}, ["zebra", "ant"])
    assert names == ("zebra", "ant")
    assert target["train"].tolist() == [1, 0, 1, 0]
    _, target = encode_labels({"train": np.array(["ant", "zebra", "ant", "ant"], dtype=object)}, ["zebra", "ant"])
    assert target["train"].tolist() == [1, 0, 1, 1]


def test_booleans_are_classes() -> None:
    names, target = encode_labels({"train": np.array([True, False, True, True])})
    assert names == ("False", "True")
    assert target["train"].tolist() == [1, 0, 1, 1]


def test_label_names() -> None:
    assert [label_name(v) for v in (2.0, 2.5, np.int8(3), b"x", True)] == ["2", "2.5", "3", "x", "True"]


def test_a_label_that_only_test_rows_have_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="2 test rows have the label 'c' in y, which the training rows do not have"):
        encode_labels({"train": np.array(["a", "b"] * 3), "test": np.array(["c", "a", "c"])}, target="y")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([1.0, np.nan, 2.0, np.nan]), "2 of 4 train rows have no label"),
        (np.array(["a", None, "b", "b"], dtype=object), "1 of 4 train rows have no label"),
        (np.array([7, 7, 7]), r"one class only \('7'\)"),
        (np.array([], dtype=np.int64), "no rows"),
        (np.zeros((4, 2)), r"one label a row \[N\] .*; found shape \[4, 2\]"),
        (np.array([1.0, np.inf, 1.0]), "infinite labels in the train rows"),
        (np.array([1.0, "a", -np.inf], dtype=object), "infinite labels in the train rows"),
        (np.array([[1], [2], None], dtype=object), "should hold a number or a text a row; found list values"),
        (np.array([{"a": 1}, {}], dtype=object), "found dict values"),
        (np.array([1j, 2j]), "should hold numbers or text; found dtype complex"),
        (np.zeros(3, dtype=[("a", int)]), "should hold numbers or text"),
        (np.arange(50), "50 different values in 50 rows, so it looks like an identifier"),
        (np.array(["yes", "no", "yes "] * 3), r"labels 'yes' and 'yes ', which differ in blanks only"),
        (np.repeat(np.linspace(0, 1, 40), 5), "looks like a measurement"),
    ],
)
def test_labels_that_cannot_be_used(labels: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode_labels({"train": labels})
