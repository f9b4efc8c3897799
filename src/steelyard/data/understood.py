"""A table file in memory, its columns understood as `TableFile` understands those of a file of any size."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.data.impression import Impression
from steelyard.data.kinds import Column, as_kind
from steelyard.data.raw import Frame
from steelyard.data.tabular import load_table, tidy, with_decimal_commas

READING = 2
"""Raised when columns of table files become other values than before, since a run belongs to what it was trained on."""


@dataclass(frozen=True)
class Understood:
    """A table as read.

    Attributes:
        frame: its rows.
        columns: how each column that was understood is written in the file and what it holds.
        notes: what a user should know about that, a sentence each.
    """

    frame: Frame
    columns: Mapping[str, Column]
    notes: tuple[str, ...]


def read_understood(path: Path, *, as_is: Collection[str] = (), like: Mapping[str, Column] | None = None) -> Understood:
    r"""A CSV, TSV or Parquet file, with text that is dates, times of day, numbers or truth values read as such.

    Args:
        path: of the file.
        as_is: columns that nothing is looked for in, beside decimal commas: the target, and those that are left out.
        like: how another file's columns are written (`Understood.columns` of the training file): this file's are read as
            those, and nothing is looked for.

    Raises:
        DataError: the file cannot be read, or a value does not fit what `like` says of its column.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "loans.csv"
        >>> _ = path.write_text("paid,when\nyes,31.01.2024\nno,01.02.2024\n")
        >>> train = read_understood(path, as_is=["paid"])
        >>> train.frame["when"].dt.month.tolist(), train.columns["when"].written
        ([1, 2], '%d.%m.%Y')
    """
    text = [name for name, column in (like or {}).items() if column.is_text_in_file and name not in as_is]
    table = load_table(path, text)
    frame = tidy(table.frame, str(path))
    if table.separator == ";":
        kept = [name for name in frame.columns if name in as_is]
        frame[kept] = with_decimal_commas(frame[kept])
    columns: dict[str, Column] = {}
    notes = []
    for name in frame.columns:
        if name in as_is:
            continue
        if like is not None:
            if name in like:
                frame[name] = _like(frame[name], like[name].loosened(), comma=table.separator == ";")
            continue
        found = _look(frame[name], table.separator, table.typed)
        if found is None:
            continue
        columns[name], note = found
        notes += [note] if note else []
        if columns[name].kind not in ("category", "text"):
            frame[name] = as_kind(frame[name], columns[name])
    return Understood(frame, columns, tuple(notes))


def _look(column: Any, separator: str, typed: bool) -> tuple[Column, str] | None:
    """What a column holds, and what to say about it; None for lists and the like, which are refused where they are used."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        kind = "boolean" if column.dtype.kind == "b" else "number"
        return Column(str(column.name), kind, str(column.dtype)), ""
    impression = Impression(str(column.name), separator=separator, typed=typed)
    try:
        impression.add(column)
    except DataError:
        return None
    return impression.column(), impression.told()


def _like(column: Any, known: Column, *, comma: bool) -> Any:
    same = {"number": "iuf", "boolean": "b", "date": "M"}.get(known.kind, "")
    return column if column.dtype.kind in same else as_kind(column, known, comma=comma)
