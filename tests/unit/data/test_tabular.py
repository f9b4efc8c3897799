from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.tabular import drop_columns, giveaways, identifiers, part_of, read_table, tidy


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


@pytest.mark.parametrize("name", ["Kunde Nr", "order_no", "Invoice No.", "policy-number", "ticketNr", "AccountNumber"])
def test_what_is_numbered_without_repetition_is_an_identifier_with_many_rows(name: str) -> None:
    numbers = np.random.default_rng(0).permutation(5000)[:1000]
    assert name in identifiers(pd.DataFrame({name: numbers}))
    assert not identifiers(pd.DataFrame({name: numbers[:999]}))
    assert not identifiers(pd.DataFrame({name: np.append(numbers, numbers[0])}))
    assert not identifiers(pd.DataFrame({name: numbers + 0.5}))


@pytest.mark.parametrize("name", ["no", "number", "NO", "casino", "piano", "number of rooms", "minr", "x_no2"])
def test_names_that_only_look_numbered(name: str) -> None:
    assert not identifiers(pd.DataFrame({name: np.random.default_rng(0).permutation(5000)[:2000]}))


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


def test_columns_with_lists_name_nothing() -> None:
    assert not identifiers(pd.DataFrame({"id": [[1], [2], [3]], "x": [{"a": 1}, {}, {}]}))


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "t.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_are_understood(tmp_path: Path, encoding: str) -> None:
    frame = read_table(written(tmp_path, "größe;y\n1;Köln\n2;Bonn\n", encoding))
    assert list(frame.columns) == ["größe", "y"]
    assert frame["y"].tolist() == ["Köln", "Bonn"]


@pytest.mark.parametrize("text", ["größe,y\n1,a\n", "x,y\n1,Köln\n"])
def test_latin_1_is_told_from_utf_8(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"t.csv is not UTF-8 text .*0xf6.*: save it as UTF-8"):
        read_table(written(tmp_path, text, "latin-1"))


def test_what_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a text file"):
        read_table(written(tmp_path, "a,b\x00\n" * 10))


@pytest.mark.parametrize("header", ["a,a,y", "a, a,y", '"a",a,y', "y,a,y"])
def test_columns_of_one_name_are_refused_rather_than_renamed(tmp_path: Path, header: str) -> None:
    with pytest.raises(DataError, match=r"has the column '[ay]' more than once"):
        read_table(written(tmp_path, f"{header}\n1,2,3\n"))


def test_decimal_commas_are_read_with_semicolons_only(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path, "a;b;c\n1,5;2;x\n-0,25;3;1,5\n;4;1\n"))
    assert frame["a"].iloc[:2].tolist() == [1.5, -0.25] and np.isnan(frame["a"].iloc[2])
    assert frame["b"].tolist() == [2, 3, 4]
    assert frame["c"].tolist() == ["x", "1,5", "1"]  # not a column of numbers
    assert read_table(written(tmp_path, 'a,b\n"1,5",2\n'))["a"].tolist() == ["1,5"]


def test_fields_may_hold_line_breaks_and_begin_with_blanks(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path, '"a\nb", c\n"x\ny", 2\n z, 3\n'))
    assert list(frame.columns) == ["a\nb", "c"]
    assert frame["a\nb"].tolist() == ["x\ny", "z"]
    assert frame["c"].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [("a,b\n", r"a header \(a, b\) but no rows"), ("\n\n", "cannot read")],
)
def test_tables_without_rows(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(written(tmp_path, text))


@pytest.mark.parametrize(
    ("separator", "word"), [(",", "a comma"), (";", "a semicolon"), ("\t", "a tab"), ("|", "a vertical bar")]
)
def test_where_rows_have_too_many_fields(tmp_path: Path, separator: str, word: str) -> None:
    text = "a,b\n1,2\n\n1,2,3,4\n".replace(",", separator)
    wanted = rf"line 4 of .*t.csv has 4 fields where those before it have 2: put double quotes around .* contain {word}$"
    with pytest.raises(DataError, match=wanted):
        read_table(written(tmp_path, text))


@pytest.mark.parametrize("last", ['4,"5\n', '4,"5\n6,7\n'])
def test_where_a_quote_is_never_closed(tmp_path: Path, last: str) -> None:
    with pytest.raises(DataError, match=r"line 3 of .*t.csv opens a double quote that is never closed"):
        read_table(written(tmp_path, "a,b\n1,2\n" + last))


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_line_ends_of_every_system(tmp_path: Path, end: str, encoding: str) -> None:
    frame = read_table(written(tmp_path, end.join(["", "a;b", "1,5;x|y|z", "2,5;z", ""]), encoding))
    assert frame.to_dict("list") == {"a": [1.5, 2.5], "b": ["x|y|z", "z"]}


def test_columns_that_tell_the_class_are_found() -> None:
    labels = np.array([0, 1, 2, 1] * 10)
    frame = pd.DataFrame(
        {
            "other words": np.array(["x", "y", "z"])[labels],
            "other numbers": labels * 7.0,
            "missing": np.where(labels == 0, np.nan, labels),
            "coarser": labels > 0,
            "finer": labels + 3 * (np.arange(40) // 4 % 2),
            "number": range(40),
            "lists": [[1]] * 40,
        }
    )
    assert giveaways(frame, labels) == ["other words", "other numbers", "missing"]
    assert "finer" in giveaways(pd.concat([frame] * 2), np.tile(labels, 2))  # six values: enough rows to say so now
    assert giveaways(frame.iloc[:10], labels[:10]) == []  # too few rows for anything
    nearly = np.where(np.arange(40) == 8, 1, labels)
    assert giveaways(frame, nearly) == []


def test_a_separator_at_the_end_of_each_row_means_nothing(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path, "a,b\n1,2,\n4,5,\n"))
    assert frame.to_dict("list") == {"a": [1, 4], "b": [2, 5]}
    named = read_table(written(tmp_path, "a,b\nr1,1,2\nr2,4,5\n"))  # as R writes it
    assert named.to_dict("list") == {"a": [1, 4], "b": [2, 5]}
