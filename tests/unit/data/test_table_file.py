from __future__ import annotations

import csv
import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data import table_file
from steelyard.data.table_file import TableFile
from steelyard.data.tabular import read_table

TEXT = st.text(st.sampled_from('abcü ;,"\n?.1'), min_size=1, max_size=6).filter(
    lambda text: text == text.strip() and "\r" not in text
)


def written(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode(encoding)) if name.endswith("gz") else text.encode(encoding))
    return path


def whole(file: TableFile, rows: int = 10**6) -> pd.DataFrame:
    return pd.concat(list(file.chunks(rows=rows)))


def scanned(path: Path, rows: int, **options: Any) -> TableFile:
    """The file, opened with small chunks."""
    with patch.object(table_file, "ROWS", rows):
        return TableFile(path, **options)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """Header and cells as text, with numbers that are written with a point."""
    rows = draw(st.integers(1, 12))
    makers = {
        "whole": st.integers(-99, 99).map(str),
        "number": st.floats(-1e6, 1e6).map(lambda value: repr(round(value, 3))),
        "truth": st.sampled_from(["True", "False"]),
        "text": TEXT,
        "mixed": st.sampled_from(["1", "2.50", "unknown", "007", "True"]),
        "marked": st.sampled_from(["1", "2.5", "?"]),
        "day": st.dates(pd.Timestamp("1900-01-01").date(), pd.Timestamp("2200-01-01").date()).map(str),
    }
    header, columns = [], []
    for i, kind in enumerate(draw(st.lists(st.sampled_from(sorted(makers)), min_size=2, max_size=4))):
        cell = makers[kind] if draw(st.booleans()) else st.one_of(makers[kind], st.sampled_from(["", "NA", "null"]))
        header.append(f"{kind} {i}")
        columns.append(draw(st.lists(cell, min_size=rows, max_size=rows)))
    return header, [list(row) for row in zip(*columns, strict=True)]


@settings(max_examples=25)
@given(tables(), st.data())
def test_any_dialect_is_read_as_pandas_reads_all_of_it(tmp_path_factory: Any, table: Any, data: st.DataObject) -> None:
    header, cells = table
    separator, encoding = data.draw(st.sampled_from(",;\t|")), data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    out = io.StringIO(newline="")
    quoting, end = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.sampled_from(["\r\n", "\n", "\r"])
    writer = csv.writer(out, delimiter=separator, quoting=data.draw(quoting), lineterminator=data.draw(end))
    writer.writerows([header, *cells])
    name = data.draw(st.sampled_from(["t.csv", "t.csv.gz"] + (["t.tsv"] if separator == "\t" else [])))
    path = written(tmp_path_factory.mktemp("t"), out.getvalue(), name, encoding)
    memory, file = read_table(path), scanned(path, data.draw(st.integers(1, 5)))
    assert file.columns == tuple(memory.columns) and file.rows == len(memory)
    read = whole(file, data.draw(st.integers(1, 5)))
    assert dict(read.dtypes.astype(str)) == file.dtypes
    for column, kind in file.kinds.items():
        ours, theirs = read[column], memory[column]
        assert (
            int(ours.isna().sum())
            == file.missing[column] + int(file.schema()[column]["written"] == "question mark") * (theirs == "?").sum()
        )
        if kind == "number":
            wanted = pd.to_numeric(theirs.replace("?", None) if theirs.dtype != float else theirs)
            assert np.array_equal(ours.to_numpy(float), wanted.to_numpy(float, na_value=np.nan), equal_nan=True)
        elif kind == "date":
            assert ours.dropna().dt.strftime("%Y-%m-%d").tolist() == theirs.dropna().tolist()
        else:
            known = theirs.notna()
            assert ours[known].astype(str).tolist() == theirs[known].astype(str).tolist()
            assert ours.isna().tolist() == theirs.isna().tolist()


@settings(max_examples=15)
@given(tables(), st.integers(1, 4), st.integers(1, 13))
def test_the_size_of_chunks_does_not_matter(tmp_path_factory: Any, table: Any, looked: int, rows: int) -> None:
    header, cells = table
    out = io.StringIO(newline="")
    csv.writer(out).writerows([header, *cells])
    path = written(tmp_path_factory.mktemp("t"), out.getvalue())
    once, often = TableFile(path), scanned(path, looked)
    assert once.schema() == often.schema() and once.notes == often.notes and once.identifiers == often.identifiers
    parts = list(often.chunks(rows=rows))
    assert [len(part) for part in parts[:-1]] == [rows] * (len(parts) - 1)
    assert len({tuple(part.dtypes.astype(str)) for part in parts}) == 1
    pd.testing.assert_frame_equal(pd.concat(parts), whole(once))
    again = TableFile(path, like=json.loads(json.dumps(once.schema())))
    assert again.rows == once.rows
    for column in header:  # without looking for anything, the values are the same
        pd.testing.assert_series_equal(whole(again)[column], whole(once)[column], check_dtype=False)


KINDS = (
    ("boolean", ["yes", "No", "YES"], [True, False, True]),
    ("boolean", ["y", "n", ""], [True, False, None]),
    ("boolean", ["TRUE", "false", "NA"], [True, False, None]),
    ("category", ["yes", "no", "perhaps"], ["yes", "no", "perhaps"]),
    ("category", ["yes", "yes"], ["yes", "yes"]),
    ("category", ["1", "2", "unknown"], ["1", "2", "unknown"]),
    ("number", ["1", "?", "2.5"], [1.0, None, 2.5]),
    ("category", ["a", "?", "2.5"], ["a", "?", "2.5"]),
    ("number", ["", "", ""], [None, None, None]),
    ("date", ["2024-03-01", "2024-03-02T10:30:00Z"], ["2024-03-01 00:00", "2024-03-02 10:30"]),
    ("date", ["31.12.2024", "01.02.2024"], ["2024-12-31", "2024-02-01"]),
    ("date", ["12/31/2024 08:15", ""], ["2024-12-31 08:15", None]),
    ("category", ["31/02/2024", "01/02/2024"], ["31/02/2024", "01/02/2024"]),
)


@pytest.mark.parametrize("rows", [1, 100])
@pytest.mark.parametrize(("kind", "cells", "values"), KINDS)
def test_kinds(tmp_path: Path, kind: str, cells: list[str], values: list[Any], rows: int) -> None:
    file = scanned(written(tmp_path, "x,n\n" + "".join(f"{cell},1\n" for cell in cells)), rows)
    assert file.kinds["x"] == kind
    read = whole(file, rows)["x"]
    if kind == "date":
        values = [pd.Timestamp(value) if value else None for value in values]
    assert [None if pd.isna(value) else value for value in read] == values


def test_the_target_stays_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, "x,y,z\n1,yes,2024-01-01\n2,no,2024-01-02\n")
    assert TableFile(path).kinds == {"x": "number", "y": "boolean", "z": "date"}
    file = TableFile(path, target="y")
    assert file.kinds["y"] == "category" and whole(file)["y"].tolist() == ["yes", "no"]
    assert TableFile(path, target="z").kinds["z"] == "category"


def test_thousands_ambiguous_dates_and_columns_without_news_are_noted(tmp_path: Path) -> None:
    text = 'a,b,c,d,e\n"1,234",01/02/2024,,7,?\n"12,000",03/04/2024,,7,1\n5,05/06/2024,,7,2\n'
    file = TableFile(written(tmp_path, text))
    assert file.kinds == {"a": "category", "b": "date", "c": "number", "d": "number", "e": "number"}
    assert [note.split(" has ")[0] for note in file.notes] == [f"column '{name}'" for name in "abcde"]
    assert "thousands" in file.notes[0] and "read as %d/%m/%Y" in file.notes[1]
    assert whole(file)["b"].dt.month.tolist() == [2, 4, 6]


def test_free_text_categories_and_identifiers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = np.array(["the", "customer", "paid", "late", "never", "called", "again", "about", "loan", "house", "car", "boat"])
    frame = pd.DataFrame(
        {
            "text": [" ".join(rng.choice(words, 8)) for _ in range(300)],
            "city": rng.choice(["Ulm", "Bonn", "Bad Urach am Wald"], 300),
            "name": [f"n{i * 7}" for i in range(300)],
            "client_id": rng.permutation(300) * 3,
            "number": np.arange(300) + 5,
            "amount": rng.permutation(300) * 2,
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        file = scanned(tmp_path / name, 70)
        assert file.kinds["text"] == "text" and file.kinds["city"] == "category"
        assert set(file.identifiers) == {"name", "client_id", "number"}


def test_parquet_agrees_with_pandas(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "i": pd.array([1, None, 3, 4], dtype="Int64"),
            "small": np.array([1, 2, 3, 4], dtype=np.int8),
            "f": [0.5, None, 2, 1],
            "c": pd.Categorical(["x", None, "y", "x"]),
            "when": pd.to_datetime(["2020-01-01", None, "2021-02-03", "2022-01-01"]).tz_localize("Europe/Berlin"),
            "digits": ["1", "2", "3", "3"],
            "b": [True, None, False, True],
        },
        index=list("pqrs"),
    )
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=3)
    file = scanned(tmp_path / "t.parquet", 2)
    assert list(file.kinds.values()) == ["number", "number", "number", "category", "date", "category", "boolean"]
    read, memory = whole(file, 3), read_table(tmp_path / "t.parquet")
    assert read["small"].dtype == np.int8 and read["digits"].tolist() == ["1", "2", "3", "3"]
    assert (read["when"].dropna() == memory["when"].dropna()).all() and str(read["when"].dtype) == file.dtypes["when"]
    for name in ("i", "f"):
        assert np.array_equal(read[name].to_numpy(float), memory[name].to_numpy(float, na_value=np.nan), equal_nan=True)
    assert [len(chunk) for chunk in file.chunks(["f"], rows=3)] == [3, 1]
    pd.DataFrame({"l": [[1], [2]], "x": [1, 2]}).to_parquet(tmp_path / "lists.parquet")
    with pytest.raises(DataError, match=r"column 'l' holds .* values, which are neither numbers nor categories"):
        TableFile(tmp_path / "lists.parquet")
    assert TableFile(tmp_path / "lists.parquet", drop=["l"]).columns == ("x",)


def test_another_file_is_read_as_the_first(tmp_path: Path) -> None:
    first = TableFile(written(tmp_path, "age,zip,when,ok\n31,a1,25/12/2024,yes\n40,123,26/12/2024,no\n"))
    new = written(tmp_path, "zip,when,age,ok,more\n0123,01/02/2024,?,YES,5\n0124,2024-03-04,7,no,6\n", "new.csv")
    read = whole(TableFile(new, like=first.schema()), 1)
    assert read["zip"].tolist() == ["0123", "0124"] and read["more"].tolist() == ["5", "6"]
    assert read["when"].dt.month.tolist() == [2, 3] and read["ok"].tolist() == [True, False]
    assert np.isnan(read["age"].iloc[0]) and read["age"].iloc[1] == 7
    for cells, message in (
        ("abc,x,01/02/2024,yes", "column 'age' has text where there should be numbers, such as 'abc'"),
        ("1,x,soon,yes", r"column 'when' has values that are no dates .* such as 'soon'"),
        ("1,x,01/02/2024,maybe", "column 'ok' has values other than the training rows' truth values, such as 'maybe'"),
    ):
        wrong = TableFile(written(tmp_path, f"age,zip,when,ok\n{cells}\n", "wrong.csv"), like=first.schema())
        with pytest.raises(DataError, match=message):
            whole(wrong)


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("a,b\n", "utf-8", r"a header \(a, b\) but no rows"),
        ("a, a\n1,2\n", "utf-8", "'a' more than once"),
        ("x,y\n1,Köln\n", "latin-1", "is not UTF-8 text"),
        ("x,y\n" + "1,a\n" * 50_000 + "1,Köln\n", "latin-1", "is not UTF-8 text"),
        ("a,b\n1,2\n1,2,3,4\n", "utf-8", "line 3 of .* has 4 fields"),
        ("a,b\n" + "1,2\n" * 250_000 + "1,2,3\n", "utf-8", "line 250002 of .* has 3 fields"),
        ("a,b\n" + "1,2\n" * 250_000 + '1,"2\n', "utf-8", "line 250002 of .* never closed"),
        ("\n\n", "utf-8", "cannot read"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, text: str, encoding: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        TableFile(written(tmp_path, text, encoding=encoding))


@pytest.mark.parametrize("rows", ["1,2,\n4,5,\n", "r1,1,2\nr2,4,5\n"])
def test_rows_with_a_field_more_than_the_header(tmp_path: Path, rows: str) -> None:
    """A separator at the end of each row, and names of rows as R writes them."""
    file = scanned(written(tmp_path, "a,b\n" + rows), 1)
    assert whole(file).to_dict("list") == {"a": [1, 4], "b": [2, 5]}
    assert [chunk["b"].tolist() for chunk in file.chunks(["b"])] == [[2, 5]]


def test_arguments(tmp_path: Path) -> None:
    path = written(tmp_path, "age,income\n1,2\n")
    with pytest.raises(UnknownName, match="did you mean 'income'"):
        TableFile(path, target="incom")
    with pytest.raises(ArgumentError, match="the target 'age'"):
        TableFile(path, target="age", drop=["age"])
    with pytest.raises(DataError, match="beside those that are left out"):
        TableFile(path, drop=["age", "income"])
    with pytest.raises(UnknownName, match="did you mean 'age'"):
        TableFile(path).chunks(["agee"])
    with pytest.raises(ArgumentError, match="rows"):
        TableFile(path).chunks(rows=0)
    with pytest.raises(DataError, match="known endings"):
        TableFile(written(tmp_path, "a\n", "t.txt"))
    assert [list(chunk.columns) for chunk in TableFile(path).chunks(["income", "age"])] == [["income", "age"]]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_memory_is_that_of_a_chunk(tmp_path: Path, suffix: str) -> None:
    """A file of 200,000 rows is looked at and read with a fraction of the memory that it has when it is read whole."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200_000, 6)), columns=list("abcdef"))
    frame["city"] = pd.Categorical(rng.choice(["Ulm", "Bonn"], len(frame)))
    path = tmp_path / f"t{suffix}"
    if suffix == ".csv":
        pyarrow.csv.write_csv(pyarrow.Table.from_pandas(frame.astype({"city": "str"}).round(2)), path)
    else:
        frame.astype({"city": "str"}).to_parquet(path, row_group_size=10_000)
    size = int(read_table(path).memory_usage(deep=True).sum())
    tracemalloc.start()
    try:
        file = scanned(path, 5000)
        rows = sum(len(chunk) for chunk in file.chunks(rows=5000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == len(frame) and peak < 8e6 < 0.7 * size


@pytest.mark.parametrize("rows", [1, 2, 10])
def test_verbatim_is_what_is_in_the_file(tmp_path: Path, rows: int) -> None:
    path = written(tmp_path, 'code;when;price\n007;01.02.2024;"1,50"\n;NA;\n08;x;2\n')
    file = TableFile(path)
    found = pd.concat(list(file.verbatim(["price", "code"], rows)), ignore_index=True)
    assert found.to_dict("list") == {"price": ["1,50", "", "2"], "code": ["007", "", "08"]}
    assert file.is_text
    with pytest.raises(UnknownName, match="pric"):
        list(file.verbatim(["pric"]))
    lists = pyarrow.table({"l": [[1], None, [2, 3]], "n": [1, None, 2**62 + 1]})
    pyarrow.parquet.write_table(lists, tmp_path / "t.parquet")
    other = TableFile(tmp_path / "t.parquet", like={})
    chunks = list(other.verbatim(["n", "l"], rows))
    assert [len(chunk) for chunk in chunks] == [min(rows, 3 - start) for start in range(0, 3, rows)]
    assert pyarrow.concat_tables(map(pyarrow.Table.from_pandas, chunks))["n"].to_pylist() == [1, None, 2**62 + 1]
    assert not other.is_text


def test_another_file_may_have_decimal_commas(tmp_path: Path) -> None:
    first = TableFile(written(tmp_path, "a,t\n1.5,x\n2.5,y\n"))
    other = TableFile(written(tmp_path, "a;t\n1,5;x\n2;y\n-0,5;y\n", "o.csv"), like=first.schema())
    assert whole(other)["a"].tolist() == [1.5, 2.0, -0.5]
