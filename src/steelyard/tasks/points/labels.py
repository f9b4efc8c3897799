"""Which column holds the labels, and what each value stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.clouds import Cloud

COLUMNS = ("wl", "label", "labels", "class", "classification", "scalar_label", "scalar_classification")
"""Looked for in this order, whatever the case of the letters."""
MOST_CLASSES = 100
KNOWN = {"wl": {"1": "wood", "2": "leaf"}}
"""What the values of a column stand for by custom: leaf/wood sets of airborne scans."""


@dataclass(frozen=True)
class Labels:
    """What a label column says.

    Attributes:
        column: its name.
        values: of class 0, 1, ..., as text.
        names: of class 0, 1, ...
        ignored: values of points that are left out of the cloud, before anything else.
    """

    column: str
    values: tuple[str, ...]
    names: tuple[str, ...]
    ignored: tuple[str, ...] = ()

    def of(self, cloud: Cloud) -> tuple[np.ndarray, np.ndarray]:
        """Class of each point `[N]`, -1 for a value that is no class, and which points stay `[N]`."""
        found, place = np.unique(_texts(cloud, self.column), return_inverse=True)
        known = {value: number for number, value in enumerate(self.values)}
        classes = np.array([known.get(value, -1) for value in found])
        kept = np.array([value not in self.ignored for value in found])
        return classes[place.reshape(-1)], kept[place.reshape(-1)]


def find_labels(clouds: Sequence[Cloud], column: str | None, classes: Sequence[str], ignore: Sequence[str]) -> Labels:
    """Find the column and its classes.

    Args:
        clouds: all that are learnt from.
        column: its name; None to look for a usual one with at least two values.
        classes: "value:name" of each class, in their order; other values are then unlabelled. Empty: each value is a class.
        ignore: names or values of what is left out.

    Raises:
        DataError: no such column, no labels, or one class only.
        ArgumentError: a class is not "value:name".

    Example:
        >>> cloud = Cloud(np.zeros((3, 3)), {"WL": np.array([1, 2, 2])})
        >>> find_labels([cloud], None, (), ())
        Labels(column='WL', values=('1', '2'), names=('wood', 'leaf'), ignored=())
    """
    column = _column(clouds, column)
    values = _in_order({value for cloud in clouds for value in np.unique(_texts(cloud, column)).tolist()})
    named = _named(classes) or dict(KNOWN.get(column.lower(), {})) or {value: value for value in values}
    ignored = tuple(value for value in values if value in ignore or named.get(value) in ignore)
    kept = {value: name for value, name in named.items() if value not in ignored and value in values}
    absent = [value for value in named if classes and value not in values]
    if absent:
        raise DataError(
            f"no point has the label {absent[0]} ('{named[absent[0]]}') in '{column}', which has: {', '.join(values[:20])}"
        )
    if len(kept) < 2:
        left = f"'{next(iter(kept.values()))}' alone" if kept else "none of its values"
        raise DataError(f"column '{column}' of {clouds[0].name} has {left} as classes, and two are needed to learn from")
    if len(kept) > MOST_CLASSES:
        raise DataError(
            f"column '{column}' has {len(kept):,} different values: name the column of the labels with --target, or the "
            "classes with points(classes=(1:wood,2:leaf))"
        )
    return Labels(column, tuple(kept), tuple(kept.values()), ignored)


def _column(clouds: Sequence[Cloud], asked: str | None) -> str:
    first = clouds[0]
    if asked is None:
        known = {name.lower(): name for name in first.columns}
        for usual in COLUMNS:
            name = known.get(usual)
            if name is not None and len(np.unique(first.columns[name])) > 1:
                asked = name
                break
    if asked is None:
        raise DataError(
            f"{first.name} has no labels to learn from: none of its columns ({', '.join(first.columns) or 'none'}) is called "
            "label, class, classification or WL and has two values; name one with --target"
        )
    for cloud in clouds:
        if asked not in cloud.columns:
            raise DataError(f"{cloud.name} has no column '{asked}'; it has: {', '.join(cloud.columns) or 'none'}")
    return asked


def _named(classes: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in classes:
        value, colon, name = text.partition(":")
        if not (colon and value.strip() and name.strip()):
            raise ArgumentError("classes", "a value and a name for each, such as (1:wood,2:leaf)", repr(text))
        found[value.strip()] = name.strip()
    return found


def _texts(cloud: Cloud, column: str) -> np.ndarray:
    """Values as text: whole numbers without a decimal point, missing ones as "nan"."""
    values = cloud.columns[column]
    if values.dtype.kind != "f":
        return values.astype(str)
    whole = np.isfinite(values) & (values == np.round(values))
    texts = values.astype(str).astype(object)
    texts[whole] = values[whole].astype(np.int64).astype(str)
    return texts.astype(str)


def _in_order(values: set[str]) -> list[str]:
    """Numbers by size, then words; what is missing is no class."""

    def rank(text: str) -> tuple[bool, float, str]:
        try:
            return False, float(text), text
        except ValueError:
            return True, 0.0, text

    return sorted((value for value in values if value != "nan"), key=rank)
