"""NumPy archives with X and y."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from steelyard.core.errors import DataError
from steelyard.data.files import reading, require_file
from steelyard.data.memory import kind_of_array, native, same_length
from steelyard.data.raw import Part, Raw


def read_npz(path: Path) -> Raw:
    """An `.npz` file with `X`, `y`, and where it has them `X_test`, `y_test`, `X_valid`, `y_valid`; case does not matter.

    `x_train`, `y_train` are understood too. Nothing is ever unpickled.

    Raises:
        DataError: not such a file, arrays of objects, X or y is not there, or they do not fit together.
    """
    require_file(path)
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is not an .npz archive: write it with numpy.savez(path, X=..., y=...)")
    with reading(path), np.load(path, allow_pickle=False) as archive:
        by_name = {name.lower(): name for name in archive.files}
        parts = {}
        for split, suffixes in {"train": ("", "_train"), "valid": ("_valid", "_val"), "test": ("_test",)}.items():
            suffix = next((s for s in suffixes if f"x{s}" in by_name or f"y{s}" in by_name), None)
            if suffix is None:
                continue
            for letter in ("x", "y"):
                if f"{letter}{suffix}" not in by_name:
                    shown = (letter.upper() if letter == "x" else letter) + suffix
                    raise DataError(f"{path} has no array '{shown}'; it has: {', '.join(archive.files) or 'none'}")
            arrays = [native(_plain(archive, by_name[f"{letter}{suffix}"], path)) for letter in ("x", "y")]
            labels = one_label_a_row(arrays[1])
            if arrays[0].ndim < 2:
                raise DataError(
                    f"X of {path} should be an array [N, ...] of two dimensions or more; found shape {list(arrays[0].shape)}"
                )
            if labels.ndim == 1:  # any other shape is refused where labels are looked at, for all kinds of data
                same_length(arrays[0], labels, f"the {split} rows of {path}")
            parts[split] = Part(arrays[0], labels)
    if "train" not in parts:
        raise DataError(f"{path} has no arrays 'X' and 'y'; it has: {', '.join(by_name.values()) or 'none'}")
    return Raw(path.stem, kind_of_array(parts["train"].inputs), parts, target="y")


def one_label_a_row(labels: np.ndarray) -> np.ndarray:
    """`[N, 1]` as `[N]`; others as they are."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _plain(archive: np.lib.npyio.NpzFile, name: str, path: Path) -> np.ndarray:
    try:
        values: np.ndarray = archive[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"array '{name}' of {path} holds Python objects, which are never unpickled: save numbers or fixed-width text"
            ) from None
        raise
    return values
