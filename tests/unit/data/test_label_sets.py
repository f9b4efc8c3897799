"""Labels from columns, lists and arrays."""

import numpy as np
import pandas as pd
import pytest
import torch

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.label_sets import check_labels, indicator, label_columns, lists


@pytest.mark.parametrize(
    "values",
    [
        np.array([[1, 0], [0, 1]]),
        np.array([[True, False], [False, True]]),
        torch.tensor([[1, 0], [0, 1]]),
        [["1", "0"], ["0", " 1 "]],
        [["true", "False"], ["FALSE", "TRUE"]],
        np.array([[1.0, 0], [0, 1]]),
    ],
)
def test_zeros_and_ones_however_written(values):
    assert indicator(values, ["a", "b"], "Y").tolist() == [[1, 0], [0, 1]]


def test_what_is_missing_is_not_known():
    frame = pd.DataFrame({"a": [1, None], "b": pd.array([None, True], dtype="boolean"), "c": ["", "0"]})
    found = indicator(frame.to_numpy(), list(frame), "Y")
    assert found.isnan().tolist() == [[False, True, True], [True, False, False]]


@pytest.mark.parametrize(("value", "says"), [(2, "2"), (0.5, "0.5"), ("yes", "'yes'"), (-1, "-1")])
def test_other_values_are_named_with_their_label_and_row(value, says):
    with pytest.raises(DataError, match=f"label 'b' of Y has the value .*{says}.* in row 2"):
        indicator([[0, 1], [1, value]], ["a", "b"], "Y")


def test_lists_are_parted_at_the_first_separator_that_occurs():
    assert lists(["a|b", "b", None], None, None, "tags")[0].tolist() == [[1, 1], [0, 1], [0, 0]]
    assert lists(["a b", "b"], None, None, "tags")[1] == ("a", "b")
    assert lists(["new york, paris", "paris"], None, None, "tags")[1] == ("new york", "paris")
    assert lists(["a;b", "c"], ";", ("c", "a", "b"), "tags")[0].tolist() == [[0, 1, 1], [1, 0, 0]]


def test_lists_may_be_lists_or_look_like_them():
    written = lists(["['a', 'new york']", '["a"]', "[]", "[a]"], None, None, "tags")
    assert written[1] == ("[a]", "a", "new york")
    assert written[0].tolist() == [[0, 1, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]]
    held = np.array([["a", "b"], np.array(["b"]), ("a",), None], dtype=object)
    assert lists(held, None, None, "tags")[0].tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]


def test_lists_that_cannot_be_used():
    with pytest.raises(DataError, match="every list is empty"):
        lists(["", None], None, None, "column 'tags'")
    with pytest.raises(UnknownName, match=r"label 'cot'.*'cat'"):
        lists(["cot"], None, ("cat", "dog"), "tags")


def test_label_columns_are_named_or_have_a_prefix():
    frame = pd.DataFrame(columns=["age", "is_a", "is_b"])
    assert label_columns(frame, ("is_b",), "") == ["is_b"]
    with pytest.raises(UnknownName, match="column 'is_c'"):
        label_columns(frame, ("is_c",), "")
    with pytest.raises(DataError, match="no column begins with 'has_'; the columns are: age, is_a"):
        label_columns(frame, (), "has_")
    for named, prefix in (((), ""), (("is_a",), "is_"), (("is_a", "is_a"), "")):
        with pytest.raises(ArgumentError, match="`labels`"):
            label_columns(frame, named, prefix)


def test_labels_that_cannot_be_learnt_are_named():
    with pytest.raises(DataError, match="label 'b' has no positive example in Y"):
        check_labels(torch.tensor([[1.0, 0.0], [0.0, torch.nan]]), ["a", "b"], "Y")
    with pytest.raises(DataError, match="label 'a' is present in every example"):
        check_labels(torch.tensor([[1.0], [1.0]]), ["a"], "Y")
