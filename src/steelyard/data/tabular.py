"""Tables from CSV and Parquet files: reading them, finding the target, leaving out what is no feature."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.files import reading, require_file, suffix_of
from steelyard.data.raw import Frame, Part

IDENTIFIER = re.compile(
    r"(?i:(^|[_\s.-])(id|uuid|guid|index|rowid|row_?(no|nr|number))$|^(id|row)[_\s.-]|^unnamed: 0$)|[a-z](Id|ID)$"
)
RUNNING_ROWS = 20
"""Rows from which a column 0, 1, 2, ... is taken for a row number rather than a feature."""


def read_table(path: Path) -> Frame:
    """A CSV, TSV or Parquet file as a DataFrame with text column names.

    The separator of a `.csv` file is the one of comma, semicolon and tab that its header line has most of.

    Raises:
        DataError: missing, empty, without rows, or not readable as such a file.
    """
    import pandas as pd

    require_file(path)
    with reading(path):
        if suffix_of(path) in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(path, sep=_separator(path), low_memory=False)
    return tidy(frame, str(path))


def tidy(frame: Frame, where: str) -> Frame:
    """Check that a table has rows and columns, and make its column names text.

    Raises:
        DataError: no rows, no columns, or a column name twice.
    """
    import pandas as pd

    if isinstance(frame.columns, pd.MultiIndex):
        raise DataError(f"{where} has column names of several levels: flatten them first")
    names = [str(name) for name in frame.columns]
    if not names:
        raise DataError(f"{where} has no columns")
    if len(frame) == 0:
        raise DataError(f"{where} has a header ({', '.join(names[:6])}{', ...' if len(names) > 6 else ''}) but no rows")
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise DataError(f"{where} has the column '{twice}' more than once: rename one")
    return frame.set_axis(names, axis=1).reset_index(drop=True)


def part_of(frame: Frame, target: str | None, where: str) -> Part:
    """Split a table into features and labels.

    Raises:
        ArgumentError: no target was named.
        UnknownName: it is not a column.
    """
    columns = list(frame.columns)
    if target is None:
        shown = ", ".join(columns[:15]) + (", ..." if len(columns) > 15 else "")
        raise ArgumentError("target", f"the column of classes in {where}, one of: {shown}", "nothing")
    if target not in columns:
        raise UnknownName("column", target, columns)
    labels = frame[target]
    values = labels.astype(object).to_numpy() if str(labels.dtype) == "category" else labels.to_numpy()
    return Part(frame.drop(columns=target), np.asarray(values))


def drop_columns(frame: Frame, drop: Sequence[str], target: str | None) -> Frame:
    """The table without the named columns.

    Raises:
        ArgumentError: the target is among them.
        UnknownName: one is not a column.
    """
    for name in drop:
        if name == target:
            raise ArgumentError("drop", "feature columns", f"the target '{name}'")
        if name not in frame.columns:
            raise UnknownName("column", name, [column for column in frame.columns if column != target])
    return frame.drop(columns=list(drop))


def identifiers(frame: Frame) -> dict[str, str]:
    """Columns that name a row instead of describing it, and why each is taken for that.

    A column of whole numbers or text without repetition that is called like an identifier; a running number; text without any
    repetition. Found on all rows of a file, without the target.

    Example:
        >>> import pandas as pd
        >>> identifiers(pd.DataFrame({"client_id": [7, 3, 9], "income": [2, 1, 3]}))
        {'client_id': 'a different value in every row, and a name like an identifier'}
    """
    found = {}
    for name in frame.columns:
        column = frame[name]
        text = _is_text(column)
        if not (text or column.dtype.kind in "iu") or not column.is_unique:
            continue
        if IDENTIFIER.search(name):
            found[name] = "a different value in every row, and a name like an identifier"
        elif text and len(column) >= RUNNING_ROWS:
            found[name] = "a different text in every row"
        elif not text and len(column) >= RUNNING_ROWS and _running(column.to_numpy()):
            found[name] = "a running number"
    return found


def _is_text(column: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_string_dtype(column.dtype)) and not isinstance(column.dtype, pd.CategoricalDtype)


def _running(values: np.ndarray) -> bool:
    return bool((np.diff(values.astype(np.int64)) == 1).all())


def _separator(path: Path) -> str:
    suffix = suffix_of(path)
    if suffix.startswith(".tsv"):
        return "\t"
    with gzip.open(path, "rb") if suffix.endswith(".gz") else path.open("rb") as file:
        header = file.readline().decode(errors="replace")
    return max((",", ";", "\t"), key=header.count)
