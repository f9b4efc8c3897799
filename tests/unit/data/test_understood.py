from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from steelyard.core.errors import DataError
from steelyard.data.table_file import TableFile
from steelyard.data.understood import read_understood
from steelyard.problems import load

DAYS = pd.date_range("2024-01-20", periods=40, freq="31h").astype("datetime64[us]")
FRAME = pd.DataFrame(
    {
        "day": DAYS.strftime("%d.%m.%Y %H:%M"),
        "at": DAYS.strftime("%H:%M"),
        "price": [f"{1000 + i},50".replace("10", "1.0", 1) + " €" for i in range(40)],
        "paid": ["Yes", "NO"] * 20,
        "city": ["Ulm", "Bonn", "Köln", "Ulm"] * 10,
        "code": ["007", "A12", "012", "011"] * 10,
        "late": [0, 1, 1, 0, 1] * 8,
    }
)


def written(path: Path, frame: pd.DataFrame = FRAME) -> Path:
    frame.to_csv(path, index=False, sep=";")
    return path


def test_columns_are_those_of_a_file_in_chunks(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv")
    found, file = read_understood(path, as_is=["late"]), TableFile(path, target="late")
    whole = pd.concat(file.chunks(rows=7))
    pd.testing.assert_frame_equal(found.frame.drop(columns="late"), whole.drop(columns="late"), check_dtype=True)
    assert {name: column.kind for name, column in found.columns.items()} == {
        "day": "date", "at": "time", "price": "number", "paid": "boolean", "city": "category", "code": "category"
    }  # fmt: skip


def test_columns_that_are_left_out_are_left_alone(tmp_path: Path) -> None:
    frame = read_understood(written(tmp_path / "x.csv"), as_is=["day", "paid"]).frame
    assert frame["day"].tolist() == FRAME["day"].tolist() and frame["paid"].tolist() == FRAME["paid"].tolist()
    pd.DataFrame({"a": [[1], [2]], "b": ["2024-01-01", None]}).to_parquet(tmp_path / "x.parquet")
    frame = read_understood(tmp_path / "x.parquet").frame
    assert frame["a"].map(list).tolist() == [[1], [2]] and frame["b"].dt.year.iloc[0] == 2024


def test_further_rows_are_read_as_the_first(tmp_path: Path) -> None:
    train = read_understood(written(tmp_path / "x.csv"))
    rows = FRAME.iloc[:2].assign(day=["01.02.2024 10:00", "2024-02-01T10:00"], price=["1.000 €", "2 €"], code=["007", "012"])
    other = read_understood(written(tmp_path / "y.csv", rows), like=train.columns).frame
    assert other["day"].tolist() == [pd.Timestamp("2024-02-01 10:00")] * 2
    assert other["price"].tolist() == [1000.0, 2.0] and other["code"].tolist() == ["007", "012"]
    with pytest.raises(DataError, match=r"column 'day' has values that are no dates .*'soon'"):
        read_understood(written(tmp_path / "y.csv", rows.assign(day="soon")), like=train.columns)


@pytest.mark.parametrize("given", ["cut", "file", "folder"])
def test_a_comparison_reads_dates_as_fit_does(given: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    train = written(folder / "train.csv")
    test = written(folder / "test.csv" if given == "folder" else tmp_path / "test.csv", FRAME.iloc[:9].assign(code="007"))
    data, more = (folder, {}) if given == "folder" else (train, {"test": str(test)} if given == "file" else {})
    task = load(str(data), target="late", drop=("paid",), **more)
    widths = {column.name: column.width for column in task.encoder.numeric}
    assert widths == {"day": 7, "at": 3, "price": 1} and [column.name for column in task.encoder.categorical] == [
        "city",
        "code",
    ]
    if given != "cut":
        codes = task.encoder.categorical[1].encode(pd.Series(["007"]))
        assert task.splits["test"].inputs["categorical"][:, 1].tolist() == codes.tolist() * 9
        assert codes[0] > 0


def test_a_table_of_dates_in_memory_has_their_parts_too() -> None:
    frame = pd.DataFrame({"day": DAYS, "at": [dt.time(i % 24) for i in range(40)], "late": [0, 1] * 20})
    task = load(frame, target="late")
    assert {column.name: column.width for column in task.encoder.numeric} == {"day": 7, "at": 3}
    assert np.isfinite(task.splits["train"].inputs.numpy()).all()


def test_text_that_stays_text_and_notes(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('a,b,c\n01/02/2024,"1,234",1\n03/04/2024,"5,678",?\n')
    found = read_understood(path)
    assert found.columns["b"].kind == "category" and found.frame["c"].isna().tolist() == [False, True]
    assert ["read as %d/%m/%Y" in note or "thousands" in note or "'?'" in note for note in found.notes] == [True] * 3
