"""Columns that `steelyard predict --keep` writes beside its predictions, as they are in the file."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from steelyard.data.raw import Frame
from steelyard.data.table_file import TableFile

WHOLE = r"0|-?[1-9]\d{0,17}"
"""Text that a whole number of 64 bits is written back as."""
DECIMAL = r"-?(?:0|[1-9]\d*)(?:[.,]\d+)?"
DIGITS = 15
"""Digits up to which a number of double precision is written back as it was read."""


def columns_beside(file: TableFile, kept: Sequence[str], rows: int, *, typed: bool) -> Iterable[Frame]:
    """The columns to keep, chunk by chunk: they are none of a model's business, so its schema is not asked.

    Args:
        file: as the model reads it.
        kept: names of columns.
        rows: of a chunk.
        typed: may text become numbers? In columns in which every text is written back from its number, and no two texts
            become one number: not with leading zeros or plus signs, more digits than a number holds, or decimals here with a
            zero at the end and there without.
    """
    if not kept:
        return itertools.repeat(None)
    if not file.is_text or not typed:
        return file.verbatim(kept, rows)
    return _typed(TableFile(file.path, drop=[name for name in file.columns if name not in kept]), kept, rows)


def _typed(file: TableFile, kept: Sequence[str], rows: int) -> Iterator[Frame]:
    looks = {name: _Look() for name in kept}
    for chunk in file.verbatim(kept, rows):
        for name, look in looks.items():
            look.see(chunk[name])
    whole = [name for name, look in looks.items() if look.whole]
    decimal = [name for name, look in looks.items() if look.decimal and file.kinds[name] == "number"]
    numbers: Iterable[Frame] = file.chunks(decimal, rows) if decimal else itertools.repeat(None)
    for texts, values in zip(file.verbatim(kept, rows), numbers, strict=False):
        columns: dict[str, Any] = {name: looks[name].whole_numbers(texts[name]) for name in whole}
        if values is not None:
            columns |= {name: values[name].array for name in decimal}
        columns |= {name: texts[name].replace("", None).array for name in kept if name not in columns}
        yield texts.assign(**columns)


class _Look:
    """What all texts of a column have in common."""

    def __init__(self) -> None:
        self._whole = self._plain = True
        self._seen = self._missing = self._trailing = False
        self._decimals, self._marks = set[int](), set[str]()

    def see(self, texts: Any) -> None:
        """Some more of them."""
        found = texts[texts != ""]
        self._seen |= len(found) > 0
        self._missing |= len(found) < len(texts)
        if found.str.fullmatch(WHOLE).all():
            self._plain = self._plain and not (found.str.len() > DIGITS).any()
            self._decimals |= {0} if len(found) else set()
            return
        self._whole = False
        self._plain = self._plain and bool(
            found.str.fullmatch(DECIMAL).all() and (found.str.count(r"\d") <= DIGITS).all() and not found.isin(["-0"]).any()
        )
        if self._plain:
            parts = found.str.extract(r"([.,])(\d+)$")
            self._marks |= set(parts[0].dropna())
            self._decimals |= set(parts[1].str.len().fillna(0).astype(int).tolist())
            self._trailing |= bool(parts[1].str.endswith("0").fillna(False).any())

    @property
    def whole(self) -> bool:
        """Are all whole numbers?"""
        return self._seen and self._whole

    @property
    def decimal(self) -> bool:
        """Are all numbers that are written back from double precision, with as many decimals as the column has?"""
        alike = len(self._marks) == 1 and (len(self._decimals) == 1 or not self._trailing)
        return self._plain and not self._whole and alike

    def whole_numbers(self, texts: Any) -> Any:
        """Of 64 bits; with missing ones among them where some text of the column is empty."""
        if not self._missing:
            return texts.astype("int64").array
        return texts.replace("", None).astype("Int64").array
