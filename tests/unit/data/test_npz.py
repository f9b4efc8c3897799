from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.core.errors import DataError
from steelyard.data.npz import read_npz

X = np.arange(12.0).reshape(6, 2)
y = np.array([0, 0, 0, 1, 1, 1])


def saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def test_splits_and_spellings(tmp_path: Path) -> None:
    raw = read_npz(saved(tmp_path, x_train=X, Y_train=y[:, None], X_test=X[:2], y_test=y[:2], X_val=X[3:5], y_val=y[3:5]))
    assert {split: len(part) for split, part in raw.parts.items()} == {"train": 6, "valid": 2, "test": 2}
    assert raw.parts["train"].labels.shape == (6,)
    assert (raw.kind, raw.name, raw.target) == ("tables", "data", "y")


def test_bytes_of_three_dimensions_are_images_and_other_arrays_stay_as_they_are(tmp_path: Path) -> None:
    assert read_npz(saved(tmp_path, X=np.zeros((6, 4, 4), np.uint8), y=y)).kind == "images"
    assert read_npz(saved(tmp_path, X=np.zeros((6, 4, 4)), y=y)).kind == "arrays"


def test_any_byte_order_is_read(tmp_path: Path) -> None:
    part = read_npz(saved(tmp_path, X=X.astype(">f8"), y=y.astype(">i4"))).parts["train"]
    assert part.inputs.dtype.isnative and part.labels.dtype.isnative
    assert np.array_equal(part.inputs, X) and np.array_equal(part.labels, y)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"data": X, "labels": y}, "has no arrays 'X' and 'y'; it has: data, labels"),
        ({"X": X}, "has no array 'y'; it has: X"),
        ({"X": X, "y": y, "X_test": X}, "has no array 'y_test'"),
        ({"X": X, "y": y[:5]}, "X has 6 rows and y has 5 in the train rows"),
        ({"X": X, "y": y, "X_test": X[:2], "y_test": y[:3]}, "X has 2 rows and y has 3 in the test rows"),
        ({"X": y, "y": y}, r"two dimensions or more; found shape \[6\]"),
        ({"X": np.zeros(()), "y": y}, r"two dimensions or more; found shape \[\]"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_npz(saved(tmp_path, **arrays))


class Evil:
    """Would make a folder when unpickled."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.where),)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    trap = np.empty(6, dtype=object)
    trap[:] = [Evil(tmp_path / "trap")] * 6
    for arrays in ({"X": X, "y": trap}, {"X": trap, "y": y}):
        with pytest.raises(DataError, match="holds Python objects, which are never unpickled"):
            read_npz(saved(tmp_path, **arrays))
    assert not (tmp_path / "trap").exists()


def test_files_that_are_none_or_damaged(tmp_path: Path) -> None:
    path = saved(tmp_path, X=X, y=y)
    content = bytearray(path.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"is not an .npz archive"):
        read_npz(path)
    content[150] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*data.npz"):
        read_npz(path)
