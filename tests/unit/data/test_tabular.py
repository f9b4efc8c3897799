from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.tabular import drop_columns, identifiers, part_of, read_table, tidy


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_separators_and_compression(tmp_path: Path, separator: str, suffix: str) -> None:
    text = f"a{separator}b\n1{separator}x\n2{separator}y\n"
    path = tmp_path / f"t{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    frame = read_table(path)
    assert list(frame.columns) == ["a", "b"]
    assert frame["a"].tolist() == [1, 2]


def test_parquet_and_tsv_read_alike(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), read_table(tmp_path / "t.tsv"))


def test_part_of_takes_labels_of_any_type() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": pd.Categorical(["b", "a"])})
    part = part_of(frame, "y", "t")
    assert part.labels.tolist() == ["b", "a"]
    assert list(part.inputs.columns) == ["x"]


def test_target_must_be_named_and_there() -> None:
    frame = pd.DataFrame({"income": [1], "default": [0]})
    with pytest.raises(ArgumentError, match="one of: income, default"):
        part_of(frame, None, "t.csv")
    with pytest.raises(UnknownName, match="unknown column 'defalt'; did you mean 'default'"):
        part_of(frame, "defalt", "t.csv")


def test_tidy_refuses_what_is_no_table() -> None:
    with pytest.raises(DataError, match="more than once"):
        tidy(pd.DataFrame(np.ones((2, 2)), columns=["a", "a"]), "t")
    with pytest.raises(DataError, match="but no rows"):
        tidy(pd.DataFrame({"a": []}), "t")
    with pytest.raises(DataError, match="no columns"):
        tidy(pd.DataFrame(index=[0]), "t")
    with pytest.raises(DataError, match="several levels"):
        tidy(pd.DataFrame(np.ones((2, 2)), columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])), "t")
    assert list(tidy(pd.DataFrame(np.ones((2, 2))), "t").columns) == ["0", "1"]


@pytest.mark.parametrize("name", ["ID", "id", "client_id", "CustomerID", "uuid", "Unnamed: 0", "row_number", "id_client"])
def test_names_like_identifiers(name: str) -> None:
    assert name in identifiers(pd.DataFrame({name: [5, 3, 9], "x": [1.5, 2.5, 3.5]}))


@pytest.mark.parametrize("name", ["humid", "paid", "valid", "grid", "Idaho", "bid"])
def test_names_that_only_end_like_identifiers(name: str) -> None:
    assert not identifiers(pd.DataFrame({name: [5, 3, 9]}))


def test_identifiers_repeat_nothing() -> None:
    assert not identifiers(pd.DataFrame({"id": [1, 1, 2]}))
    assert not identifiers(pd.DataFrame({"id": [0.5, 0.1, 0.2]}))


def test_running_numbers_and_unique_text() -> None:
    rows = 25
    frame = pd.DataFrame(
        {"n": range(100, 100 + rows), "squares": [i * i for i in range(rows)], "name": [f"n{i}" for i in range(rows)]}
    )
    assert set(identifiers(frame)) == {"n", "name"}
    assert not identifiers(frame.iloc[:10])


def test_drop_columns() -> None:
    frame = pd.DataFrame({"a": [1], "b": [2]})
    assert list(drop_columns(frame, ["a"], "y").columns) == ["b"]
    with pytest.raises(UnknownName, match=r"did you mean 'a'|known: a, b"):
        drop_columns(frame, ["A1"], "y")
    with pytest.raises(ArgumentError, match="the target 'y'"):
        drop_columns(frame, ["y"], "y")
