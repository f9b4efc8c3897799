from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from steelyard.core.errors import DataError
from steelyard.data.fingerprint import fingerprint

X = np.arange(12.0).reshape(6, 2)
y = np.array([0, 0, 0, 1, 1, 1])


class Rows(Dataset[Any]):
    def __init__(self, targets: list[int]) -> None:
        self.targets = targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> Any:
        raise AssertionError("inputs are not to be read")


def changed(values: np.ndarray) -> np.ndarray:
    other = values.copy()
    other.flat[-1] += 1
    return other


@pytest.mark.parametrize(
    "make",
    [
        lambda x, labels: (x, labels),
        lambda x, labels: [x, labels],
        lambda x, labels: (torch.from_numpy(x), torch.from_numpy(labels)),
        lambda x, labels: {"train": (x, labels), "test": (X, y)},
        lambda x, labels: TensorDataset(torch.from_numpy(x), torch.from_numpy(labels)),
        lambda x, labels: pd.DataFrame(x, columns=["a", "b"]).assign(y=labels),
        lambda x, labels: (pd.DataFrame(x), labels),
        lambda x, labels: ({"a": torch.from_numpy(x)}, labels),
    ],
)
def test_it_changes_with_inputs_and_with_labels_and_with_nothing_else(make: Callable[[Any, Any], Any]) -> None:
    seen = fingerprint(make(X, y))
    assert fingerprint(make(X.copy(), y.copy())) == seen
    assert len({seen, fingerprint(make(changed(X), y)), fingerprint(make(X, changed(y)))}) == 3
    assert len(seen) == 64


def test_the_same_arrays_of_numpy_and_torch_are_the_same_data() -> None:
    assert fingerprint((X, y)) == fingerprint((torch.from_numpy(X), torch.from_numpy(y)))
    assert fingerprint((X[:, ::-1], y)) == fingerprint((np.ascontiguousarray(X[:, ::-1]), y))
    assert fingerprint((X.astype(np.float32), y)) != fingerprint((X, y))
    assert fingerprint((X, y.astype(object))) != fingerprint((X, changed(y).astype(object)))


def test_of_a_dataset_only_the_labels_are_read() -> None:
    assert fingerprint(Rows([0, 1])) == fingerprint(Rows([0, 1])) != fingerprint(Rows([1, 1]))


def test_files_count_by_content_and_folders_by_names_too(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("a")
    two.write_text("a")
    assert fingerprint(one) == fingerprint(str(two))
    two.write_text("b")
    assert fingerprint(one) != fingerprint(two)
    (tmp_path / "sub").mkdir()
    seen = {fingerprint(tmp_path)}
    (tmp_path / ".DS_Store").write_text("x")
    assert fingerprint(tmp_path) in seen
    (tmp_path / "sub" / "c.png").write_text("x")
    seen.add(fingerprint(tmp_path))
    (tmp_path / "sub" / "c.png").rename(tmp_path / "sub" / "d.png")
    seen.add(fingerprint(tmp_path))
    assert len(seen) == 3


def test_names_of_built_in_sets_stand_for_themselves_and_missing_files_are_named(tmp_path: Path) -> None:
    assert fingerprint("digits") == fingerprint("digits") != fingerprint("wine")
    with pytest.raises(DataError, match=r"none.csv"):
        fingerprint(tmp_path / "none.csv")
