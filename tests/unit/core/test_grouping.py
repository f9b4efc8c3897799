from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core import grouping
from steelyard.core.errors import ArgumentError
from steelyard.core.grouping import as_labels, group_rows


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 7), st.integers(0, 3))
def test_rows_of_every_class_in_their_order_whatever_the_block(labels: list[int], block: int, more: int) -> None:
    classes = max(labels) + 1 + more
    before, grouping.BLOCK = grouping.BLOCK, block
    try:
        found = group_rows(torch.tensor(labels), classes)
    finally:
        grouping.BLOCK = before
    assert found.counts.tolist() == [labels.count(c) for c in range(classes)]
    for c in range(classes):
        assert found.rows(c).tolist() == [row for row, label in enumerate(labels) if label == c]
        assert found.rows(c).dtype == torch.int64


@pytest.mark.parametrize("classes", [200, 300, 40_000])
def test_many_classes_need_wider_keys(classes: int) -> None:
    labels = torch.randperm(classes)
    found = group_rows(labels)
    assert torch.equal(labels[found.order.long()], torch.arange(classes))


@pytest.mark.parametrize("labels", [[0, 2, 1], np.array([0, 2, 1], np.uint16), torch.tensor([0, 2, 1], dtype=torch.uint8)])
def test_labels_of_any_whole_type(labels: object) -> None:
    assert as_labels(labels).tolist() == [0, 2, 1]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "non-empty"),
        ([[0]], r"shape \(1, 1\)"),
        ([0.5], "integer class labels"),
        (["a"], "number the classes first"),
        (torch.tensor([1j]), "integer class labels"),
        ([0, -1], "label -1"),
        ([0, 2**30], "label 1073741824"),
    ],
)
def test_what_is_no_class_label(labels: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        as_labels(labels)  # type: ignore[arg-type]
