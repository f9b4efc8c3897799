from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.raw import KINDS, SPLIT_NAMES, SPLITS, Part, Raw
from steelyard.data.read import read_path, with_split

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "y": [0, 0, 1, 1]})


def test_files_by_their_ending(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    FRAME.to_parquet(tmp_path / "t.parquet")
    np.savez(tmp_path / "t.npz", X=FRAME[["a"]].to_numpy(), y=FRAME["y"].to_numpy())
    for name in ("t.csv", "t.parquet", "t.npz"):
        raw = read_path(tmp_path / name, "y")
        assert (raw.name, raw.kind, raw.parts["train"].labels.tolist()) == ("t", "tables", [0, 0, 1, 1])
        assert raw.kind in KINDS


def test_parquet_with_bytes_is_images_unless_called_a_table(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    FRAME.assign(image=[b"x"] * 4).to_parquet(path)
    assert read_path(path, "y").kind == "images"
    assert read_path(path, "y", "tables").kind == "tables"


def test_a_folder_of_files_with_splits(tmp_path: Path) -> None:
    for name, rows in {"train.csv": 4, "test.csv": 2, "val.csv": 3}.items():
        FRAME.iloc[:rows].to_csv(tmp_path / name, index=False)
    (tmp_path / "README.md").write_text("x")
    raw = read_path(tmp_path, "y")
    assert raw.name == tmp_path.name
    assert {split: len(part) for split, part in raw.parts.items()} == {"train": 4, "valid": 3, "test": 2}
    assert set(raw.parts) == set(SPLITS)
    FRAME.to_csv(tmp_path / "validation.tsv", index=False, sep="\t")
    with pytest.raises(DataError, match=r"two files for the valid rows, val.csv and validation.tsv"):
        read_path(tmp_path, "y")


def test_a_folder_with_one_file_or_several(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    assert len(read_path(tmp_path, "y").parts["train"]) == 4
    FRAME.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match=r"several data files \(a.csv, b.csv\): give one of them"):
        read_path(tmp_path, "y")


def test_a_folder_without_data_files_is_of_images(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    Image.new("L", (2, 2)).save(tmp_path / "cat" / "a.png")
    assert read_path(tmp_path).kind == "images"


def test_unknown_endings(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"known endings: .csv"):
        read_path(tmp_path / "t.xlsx", "y")
    with pytest.raises(ArgumentError, match="one of: a, y"):
        FRAME.to_csv(tmp_path / "t.csv", index=False)
        read_path(tmp_path / "t.csv")


def test_further_splits_must_be_new_and_of_the_same_kind() -> None:
    train = Raw("t", "tables", {"train": Part(FRAME[["a"]], FRAME["y"].to_numpy())}, notes=("one",))
    test = Raw("u", "tables", train.parts, notes=("two",))
    both = with_split(train, test, "test")
    assert list(both.parts) == ["train", "test"] and both.notes == ("one", "two")
    with pytest.raises(DataError, match="has a test split already"):
        with_split(both, test, "test")
    with pytest.raises(DataError, match=r"\('u', arrays\) should be tables"):
        with_split(train, Raw("u", "arrays", train.parts), "test")
    assert set(SPLIT_NAMES.values()) == set(SPLITS)
