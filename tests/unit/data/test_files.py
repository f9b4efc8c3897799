from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.files import list_folder, reading, require_file, suffix_of


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.csv", ".csv"),
        ("A.CSV", ".csv"),
        ("a.b.csv.gz", ".csv.gz"),
        ("x.v1.parquet", ".parquet"),
        ("plain", ""),
        ("a.gz", ".gz"),
    ],
)
def test_suffixes(name: str, suffix: str) -> None:
    assert suffix_of(Path("some.dir") / name) == suffix


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.touch()
    for path, message in [
        (tmp_path / "none.csv", "there is no file .*none.csv"),
        (tmp_path, "is a folder; a file is needed"),
        (empty, r"empty.csv is empty \(0 bytes\)"),
        (empty / "below", "cannot read .*below"),
    ]:
        with pytest.raises(DataError, match=message):
            require_file(path)


def test_what_systems_leave_in_folders_is_not_listed(tmp_path: Path) -> None:
    for name in ("b", "a", ".DS_Store", "Thumbs.db", "desktop.ini", ".git"):
        (tmp_path / name).touch()
    assert [entry.name for entry in list_folder(tmp_path)] == ["a", "b"]
    with pytest.raises(DataError, match="cannot read the folder"):
        list_folder(tmp_path / "none")


def test_errors_of_libraries_become_one_sentence() -> None:
    with pytest.raises(DataError, match=r"cannot read x.csv \(first line\)") as caught, reading(Path("x.csv")):
        raise RuntimeError("first line.\nand a long tail")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"\(KeyError\)"), reading(Path("x.csv")):
        raise KeyError
    with pytest.raises(ArgumentError, match="`a`"), reading(Path("x.csv")):  # our own pass through
        raise ArgumentError("a", "b", "c")
