from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.memory import check_array, dataset_labels, kind_of, native, read_memory

X = np.arange(12.0).reshape(6, 2)
y = np.array([0, 0, 0, 1, 1, 1])


class Pairs(Dataset[Any]):
    """(input, label), with labels nowhere else."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Any:
        return self.rows[row]


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(())


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ((X, y), "tables"),
        ((X.tolist(), y.tolist()), "tables"),
        ((torch.from_numpy(X), torch.from_numpy(y)), "tables"),
        ((torch.zeros(6, 4, 4, dtype=torch.uint8), y), "images"),
        ((np.zeros((6, 3, 4, 4), np.uint8), y[:, None]), "images"),
        ((np.zeros((6, 3, 4)), y), "arrays"),
        (({"a": torch.zeros(6, 2), "b": torch.zeros(6)}, y), "arrays"),
        (TensorDataset(torch.zeros(6, 2), torch.from_numpy(y)), "tables"),
        (Pairs([(torch.zeros(2), int(label)) for label in y]), "arrays"),
        ((pd.DataFrame(X), list("aaabbb")), "tables"),
    ],
)
def test_kinds_of_data_in_memory(data: Any, kind: str) -> None:
    raw = read_memory(data)
    assert raw.kind == kind == kind_of(raw.parts["train"].inputs)
    assert len(raw.parts["train"]) == 6


def test_frames_bring_their_labels_in_a_column() -> None:
    raw = read_memory(pd.DataFrame(X, columns=["a", "b"]).assign(kind=list("xxyyzz")), target="kind")
    assert raw.parts["train"].labels.tolist() == list("xxyyzz")
    assert list(raw.parts["train"].inputs.columns) == ["a", "b"]
    with pytest.raises(UnknownName, match="did you mean 'kind'"):
        read_memory(pd.DataFrame({"kind": [1], "a": [2]}), target="kin")
    with pytest.raises(ArgumentError, match="`target`"):
        read_memory(pd.DataFrame({"kind": [1], "a": [2]}))


def test_a_mapping_names_the_splits() -> None:
    raw = read_memory({"train": (X, y), "val": (X[:2], y[:2]), "TEST": (X[3:], y[3:])})
    assert {split: len(part) for split, part in raw.parts.items()} == {"train": 6, "valid": 2, "test": 3}


def test_labels_of_datasets_are_found_or_read() -> None:
    pairs = Pairs([(torch.zeros(2), torch.tensor(label)) for label in y.tolist()])
    assert dataset_labels(pairs).tolist() == y.tolist()
    assert dataset_labels(Subset(pairs, [5, 0])).tolist() == [1, 0]
    named = Pairs([])
    named.rows = [None] * 6
    named.targets = torch.from_numpy(y)  # type: ignore[attr-defined]
    assert dataset_labels(named).tolist() == y.tolist()


def test_foreign_byte_order_becomes_ours() -> None:
    assert native(X.astype(">f4")).dtype == np.float32
    assert native(X) is X
    assert read_memory((X.astype(">f4"), y)).parts["train"].inputs.dtype.isnative


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ((X, y[:5]), DataError, "X has 6 rows and y has 5"),
        ((X, np.eye(6)), ArgumentError, r"`y` should be one label a row .*argmax"),
        ((np.zeros(6), y), ArgumentError, "`X` should be an array .* two dimensions"),
        (([[1, 2], [3]], [0, 1]), ArgumentError, "rows of equal length"),
        ((X, y, y), ArgumentError, "tuple of length 3"),
        (7, ArgumentError, "int"),
        ({}, ArgumentError, "'train', 'valid' and 'test'"),
        ({"train": (X, y), "dev": (X, y)}, ArgumentError, "dev"),
        ({"test": (X, y)}, ArgumentError, "with 'train'"),
        ({"train": (X, y), "test": (np.zeros((6, 3, 4)), y)}, ArgumentError, "splits of one kind"),
        (Endless(), DataError, "must have a length"),
        (Pairs([1, 2]), DataError, r"should be \(input, label\)"),
        ((pd.DataFrame(np.ones((2, 2)), columns=["a", "a"]), [0, 1]), DataError, "'a' more than once"),
    ],
)
def test_what_is_no_data(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_memory(data)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([["a"]]), "should hold numbers"),
        (np.array([[1j]]), "should hold numbers"),
        (torch.tensor([[1j]]), "real numbers"),
        (np.array([[np.nan, np.inf, -np.inf]]), r"1 missing \(NaN\) and 2 infinite"),
    ],
)
def test_arrays_that_no_model_can_take(values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_array(values, "X")
    check_array(np.array([[1, 2]]), "X")
