"""Columns of an encoder as JSON values and back, without losing a bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeAlias

from steelyard.core.errors import DataError
from steelyard.data.columns import PARTS, CategoryColumn, DateColumn, Feature, NumericColumn, TextColumn, TimeColumn

Column: TypeAlias = Feature | CategoryColumn
TYPES: dict[str, type[Any]] = {
    "number": NumericColumn, "date": DateColumn, "time": TimeColumn, "text": TextColumn, "category": CategoryColumn
}  # fmt: skip


def written_column(column: Column) -> dict[str, Any]:
    """A column as JSON values.

    Example:
        >>> written_column(CategoryColumn("city", ("Bonn",)))
        {'type': 'category', 'name': 'city', 'levels': ['Bonn'], 'missing': False}
    """
    kind = next(kind for kind, known in TYPES.items() if isinstance(column, known))
    values = {item.name: getattr(column, item.name) for item in fields(column)}
    if isinstance(column, DateColumn):
        values["days"] = written_column(column.days)
    if isinstance(column, TimeColumn):
        values["seconds"] = written_column(column.seconds)
    return {"type": kind} | {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def read_column(given: Any) -> Column:
    """The column that `written_column` wrote.

    Raises:
        DataError: a part is missing or is not what it should be; it is named.
    """
    if not isinstance(given, Mapping) or given.get("type") not in TYPES:
        raise _damaged("type")
    known = TYPES[given["type"]]
    values: dict[str, Any] = {}
    for item in fields(known):
        if item.name not in given or not _CHECKS[str(item.type)](given[item.name]):
            raise _damaged(item.name)
        value = given[item.name]
        if item.type == "NumericColumn":
            value = read_column(value)
        elif isinstance(value, list):
            value = tuple(map(float, value)) if "float" in str(item.type) else tuple(value)
        values[item.name] = float(value) if item.type == "float" else value
    column: Column = known(**values)
    _refuse_nonsense(column)
    return column


def _refuse_nonsense(column: Column) -> None:
    if isinstance(column, NumericColumn) and (column.std <= 0 or list(column.quantiles) != sorted(column.quantiles)):
        raise _damaged("std" if column.std <= 0 else "quantiles")
    if isinstance(column, TextColumn) and (len(column.mean) != len(column.std) or not column.mean or min(column.std) <= 0):
        raise _damaged("std")
    if isinstance(column, DateColumn) and not set(column.parts) <= set(PARTS):
        raise _damaged("parts")


def _is_float(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_list(value: Any, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and all(map(holds, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "str": _is_text,
    "float": _is_float,
    "bool": lambda value: isinstance(value, bool),
    "tuple[float, ...]": lambda value: _is_list(value, _is_float),
    "tuple[str, ...]": lambda value: _is_list(value, _is_text),
    "NumericColumn": lambda value: isinstance(value, Mapping) and value.get("type") == "number",
}


def _damaged(where: str) -> DataError:
    return DataError(f"the description of an encoder is damaged at '{where}': fit the model again")
