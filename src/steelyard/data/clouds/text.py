"""Points as text: x, y, z and any further columns, with or without a line of names."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.data.clouds.cloud import AXES, Cloud
from steelyard.data.tabular import DECIMAL_COMMA, with_decimal_commas


def read_text(path: Path) -> Cloud:
    """Read points from text: separated by commas, semicolons, tabs or spaces; lines that begin with # are left out.

    Numbers may have decimal commas where commas do not separate columns: "1,5;2,25;0,1" or "1,5 2,25 0,1".

    A first line that is no numbers names the columns ("//X Y Z" and "#x,y,z" too); x, y and z must be among them. Without it,
    the first three columns are x, y and z, and further ones "c4", "c5", ...

    Raises:
        DataError: no points, fewer than three columns, no x, y or z, or something that is no number among the coordinates.
    """
    import pandas as pd

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text") from None
    lines = text.split("\n", 50)
    first = next((i for i, line in enumerate(lines[:50]) if line.strip()), None)
    if first is None:
        raise DataError(f"{path} has no points")
    head = lines[first].strip()
    names = _names(head)
    if names is None:  # numbers, or a comment before them
        first = next((i for i, line in enumerate(lines[:50]) if _is_data(line)), first)
        head = lines[first].strip()
    below = lines[first + (names is not None) :]
    separator, decimal = _dialect(next(filter(_is_data, below), head))
    options: dict[str, Any] = {"sep": separator, "decimal": decimal, "header": None, "comment": "#", "skipinitialspace": True}
    try:
        frame = pd.read_csv(io.StringIO("\n".join(below)), engine="c", **options)
    except (ValueError, pd.errors.ParserError) as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else "no points"
        raise DataError(f"{path} cannot be read as points ({said})") from None
    frame.columns = _column_names(path, names, frame.shape[1], separator)
    frame = frame if separator == "," else with_decimal_commas(frame)
    missing = [axis for axis in AXES if axis not in frame.columns]
    if missing:
        raise DataError(f"{path} has no column '{missing[0]}': it has {', '.join(frame.columns)}")
    for axis in AXES:
        if frame[axis].dtype.kind not in "iuf":
            known = frame[axis].dropna().astype(str)
            right = known.str.fullmatch(DECIMAL_COMMA) if decimal == "," else known.map(_is_number)
            wrong = next(iter(known[~right.astype(bool)]), known.iloc[0])
            raise DataError(f"{path} has coordinates that are no numbers in column '{axis}', such as '{wrong}'")
    columns = {name: _values(frame[name]) for name in frame.columns if name not in AXES}
    return Cloud(frame[list(AXES)].to_numpy(np.float64), columns, path.name)


def _is_data(line: str) -> bool:
    words = re.split(r"[,;\s]+", line.strip())
    return bool(words[0]) and _is_number(words[0])


def _dialect(line: str) -> tuple[str, str]:
    """What separates the columns of a line of points, and the sign before decimals."""
    for mark in (";", "\t", None):
        words = [word.strip() for word in line.split(mark)]
        decimal = "," if any("," in word and re.fullmatch(DECIMAL_COMMA, word) for word in words) else "."
        if len(words) >= len(AXES) and (mark or decimal == ","):
            return mark or r"\s+", decimal
    return next((mark for mark in (",", ";", "\t") if mark in line), r"\s+"), "."


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _names(line: str) -> list[str] | None:
    """The names of a line of names; None for anything else."""
    words = [word for word in re.split(r"[,;\s]+", re.sub(r"^(//|#)\s*", "", line)) if word]
    if not words or any(_is_number(word) for word in words):
        return None
    named = [word.strip("\"'") for word in words]
    lowered = [word.lower() if word.lower() in AXES else word for word in named]
    if line.startswith(("#", "//")) and not {*AXES} <= {*lowered}:
        return None  # a comment
    return lowered


def _column_names(path: Path, names: list[str] | None, found: int, separator: str) -> list[str]:
    if names is None:
        if found < 3:
            raise DataError(f"{path} should have at least three columns (x, y, z); found {found}")
        return [*AXES, *(f"c{i}" for i in range(4, found + 1))]
    if len(names) != found:
        remedy = ": with decimal commas, columns have to be separated by semicolons, tabs or blanks" if separator == "," else ""
        raise DataError(f"{path} names {len(names)} columns, and its lines have {found}{remedy}")
    return names


def _values(series: object) -> np.ndarray:
    values = np.asarray(series)
    return values.astype(str) if values.dtype.kind not in "biuf" else values


def write_text(path: Path, cloud: Cloud) -> None:
    """Write points as text with a line of names; commas for .csv, spaces elsewhere. Coordinates keep every digit."""
    import pandas as pd

    frame = pd.DataFrame({axis: cloud.xyz[:, i] for i, axis in enumerate(AXES)} | dict(cloud.columns))
    frame.to_csv(path, sep="," if path.suffix.lower() == ".csv" else " ", index=False)
