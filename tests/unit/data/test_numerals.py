from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import DataError
from steelyard.data.numerals import Numeral, Numerals
from steelyard.data.table_file import TableFile

WAYS = [(",", "."), (".", ","), (",", " "), (".", " "), (".", "'"), (",", "'")]
UNITS = ["", "€", "$", "%", "₹"]


def found(values: list[str]) -> str:
    numerals = Numerals()
    numerals.add(pd.Series(values))
    return str(numerals.found)


def written(value: float, decimal: str, group: str, unit: str, first: bool) -> str:
    text = f"{abs(value):,.2f}".replace(".", "!").replace(",", group).replace("!", decimal)
    text = f"{unit} {text}" if unit and first else f"{text} {unit}" if unit else text
    return f"-{text}" if value < 0 else text


@given(
    st.sampled_from(WAYS),
    st.sampled_from(UNITS),
    st.lists(st.tuples(st.integers(-(10**9), 10**9), st.booleans()), max_size=8),
    st.randoms(use_true_random=False),
)
def test_what_was_written_is_read_back(way: tuple[str, str], unit: str, numbers: list[tuple[int, bool]], draw) -> None:
    given_numbers = [(123456789, True), *numbers]  # one says what both marks are
    draw.shuffle(given_numbers)
    values = [cents / 100 for cents, _ in given_numbers]
    text = [written(value, *way, unit, first) for value, (_, first) in zip(values, given_numbers, strict=True)]
    numerals = Numerals()
    for value in text:
        numerals.add(pd.Series([value]))
    assert numerals.found == Numeral(*way, unit) == Numeral.of(str(numerals.found))
    assert str(numerals.found) == found(text)
    assert numerals.found.numbers(pd.Series(text)).tolist() == values


@pytest.mark.parametrize(
    ("values", "way"),
    [
        (["1.234,56"], "1.234,56"),
        (["1,234.56", "7"], "1,234.56"),
        (["1.234", "56,7"], "1.234,56"),
        (["1 234", "5,678"], "1 234,56"),
        (["1\u00a0234,5", "1\u202f234,5"], "1 234,56"),
        (["1\u2019234.5", "1'234.5"], "1'234.56"),
        (["€ 5,00", "-3,50 €", "€ -1,25", "\u22122 €"], "1.234,56 €"),
        (["12 %", "7%"], "1,234.56 %"),
        (["$1,234,567", "$12"], "1,234.56 $"),
        (["1 234 €"], "1 234.56 €"),
        (["1.234"], "None"),  # 1234, or 1.234
        (["1.234", "5,678"], "None"),
        (["€ 1.234"], "None"),
        (["1,5", "2,25"], "None"),  # perhaps lists of codes
        (["1,234,567"], "None"),
        (["1.234.567"], "None"),
        (["192.168.100.200"], "None"),
        (["1.23,4", "1.234,5"], "None"),  # not by threes
        (["1.234,5", "1,234.5"], "None"),
        (["012.345,6"], "None"),  # a code
        (["48.123,11.567"], "None"),
        (["1 234,5", "1'234,5"], "None"),
        (["€ 5,00", "$ 5,00"], "None"),
        (["€ 5,00", "5,00"], "None"),
        (["1.234,56", "many"], "None"),
        (["5 % 3"], "None"),
        (["%"], "None"),
    ],
)
def test_one_reading_or_none(values: list[str], way: str) -> None:
    assert found(values) == found(values[::-1]) == way


def test_only_descriptions_are_descriptions() -> None:
    for text in ("plain", "%d.%m.%Y", "1.234.56", "decimal comma", "1.234,56 x"):
        assert Numeral.of(text) is None


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_the_choice_is_the_same_however_a_file_is_read(rows: int, tmp_path, monkeypatch) -> None:
    """The first chunks alone look like numbers with decimal points."""
    path, lines = tmp_path / "x.csv", [f"1.{i:03};€ {i},50;{i} %" for i in range(40)]
    path.write_text("\n".join(["amount;price;share", *lines, "-;€ 1.000,00;", "1;?;2 %", "1.234,50;€ 0,25;", ""]))
    monkeypatch.setattr("steelyard.data.table_file.ROWS", rows)
    file = TableFile(path)
    ways = {name: about["written"] for name, about in file.schema().items()}
    assert ways == {"amount": "1.234,56", "price": "1.234,56 €", "share": "1.234,56 %"}
    frame = pd.concat(file.chunks(rows=rows))
    assert frame["amount"].tolist()[:3] == [1000.0, 1001.0, 1002.0] and frame["amount"].tolist()[-1] == 1234.5
    assert frame["amount"].isna().sum() == 1 and frame["price"].isna().sum() == 1
    assert frame["price"].dropna().tolist()[-2:] == [1000.0, 0.25]
    assert sum("which was read as numbers" in note for note in file.notes) == 3
    assert [note.endswith(f"and {mark!r}, taken for missing values") for note, mark in zip(file.notes, "-?", strict=False)] == [
        True, True
    ]  # fmt: skip


def test_new_files_are_read_by_the_stored_choice(tmp_path) -> None:
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.write_text('amount\n"1.234,56"\n"2"\n')
    schema = TableFile(old).schema()
    new.write_text("amount\n1.234\n2.500\n")  # numbers of thousands here, whatever they look like alone
    assert next(TableFile(new, like=schema).chunks())["amount"].tolist() == [1234.0, 2500.0]
    new.write_text("amount\n12.5\n")
    with pytest.raises(
        DataError, match=r"column 'amount' has values that are not written as .* are \(1.234,56\), such as '12.5'"
    ):
        next(TableFile(new, like=schema).chunks())
    pd.DataFrame({"amount": [12.5]}).to_parquet(tmp_path / "new.parquet")
    assert next(TableFile(tmp_path / "new.parquet", like=schema).chunks())["amount"].tolist() == [12.5]
