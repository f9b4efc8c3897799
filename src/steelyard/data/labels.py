"""Labels as the user knows them, turned into classes 0..C-1 and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import DataError
from steelyard.data.memory import native

CONTINUOUS_VALUES = 20
"""A target with fractional numbers and more different values than this is taken for a measurement."""


def encode_labels(
    labels: Mapping[str, np.ndarray], class_names: Sequence[str] | None = None, *, target: str = "target"
) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """Number the classes of the labels of every split.

    Classes are numbered in the order of their labels: numbers (also when written as text) by value, other text
    alphabetically. `1`, `1.0` and `"1"` are the same label.

    Args:
        labels: raw labels `[N]` by split; classes are those of "train" and "valid".
        class_names: given names, in order; labels may then be these names or numbers 0..C-1.
        target: what to call the labels in messages.

    Returns:
        Names of the classes `[C]`, and LongTensors `[N]` of class numbers by split.

    Raises:
        DataError: missing labels, one class only, labels that differ in blanks around them only, a target that looks like a
            measurement or an identifier, or a test label that training rows do not have.

    Example:
        >>> names, target = encode_labels({"train": np.array([2, 10, 2, 2, 10])})
        >>> names, target["train"].tolist()
        (('2', '10'), [0, 1, 0, 0, 1])
    """
    found = {split: _named(values, target, split) for split, values in labels.items()}
    learnable = [name for split, (names, _) in found.items() if split != "test" for name in names]
    if class_names is None:
        _refuse_measurement(labels["train"], len(found["train"][0]), target)
        known = sort_labels(set(learnable))
        _refuse_twins(known, target)
    else:
        known = tuple(str(name) for name in class_names)
        found = {split: (_by_number(names, known), codes) for split, (names, codes) in found.items()}
    if len(set(learnable)) < 2:
        raise DataError(f"{target} has one class only ('{learnable[0]}'): there is nothing to tell apart")
    number = {name: i for i, name in enumerate(known)}
    encoded = {}
    for split, (names, codes) in found.items():
        unknown = [name for name in names if name not in number]
        if unknown:
            rows = int(np.isin(codes, [names.index(name) for name in unknown]).sum())
            where = "the class names" if class_names is not None else "the training rows"
            raise DataError(
                f"{rows} {split} row{'s have' if rows > 1 else ' has'} the label '{unknown[0]}' in {target}, which {where} do "
                "not have"
            )
        table = np.array([number[name] for name in names], dtype=np.int64)
        encoded[split] = torch.from_numpy(table[codes])
    return known, encoded


def sort_labels(names: set[str]) -> tuple[str, ...]:
    """Labels in class order: by value where all are numbers, else alphabetically.

    Example:
        >>> sort_labels({"10", "9", "-1"}), sort_labels({"no", "yes", "10"})
        (('-1', '9', '10'), ('10', 'no', 'yes'))
    """
    try:
        return tuple(sorted(names, key=float))
    except ValueError:
        return tuple(sorted(names))


def label_name(value: object) -> str:
    """How a label is written: whole numbers without a fraction.

    Example:
        >>> label_name(np.float64(3.0)), label_name(True), label_name(" a")
        ('3', 'True', ' a')
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)


def _named(values: np.ndarray, target: str, split: str) -> tuple[list[str], np.ndarray]:
    """Distinct label names, and which of them each row has."""
    import pandas as pd

    if np.ndim(values) != 1:
        raise DataError(
            f"{target} should hold one label a row [N] (for one-hot labels: their argmax); found shape {list(np.shape(values))}"
        )
    if len(values) == 0:
        raise DataError(f"the {split} data have no rows")
    if values.dtype.kind in "cV":
        raise DataError(f"{target} should hold numbers or text; found dtype {values.dtype}")
    try:
        codes, distinct = pd.factorize(native(values), use_na_sentinel=True)
    except TypeError:  # lists, arrays, mappings: nothing that can be looked up
        kind = type(values[0]).__name__
        raise DataError(f"{target} should hold a number or a text a row; found {kind} values: choose another column") from None
    missing = int((codes < 0).sum())
    if missing:
        raise DataError(
            f"{missing} of {len(codes)} {split} rows have no label in {target} (NaN; in a text file also an empty field, NA or "
            "None): remove or label them"
        )
    if any(isinstance(value, float | np.floating) and not np.isfinite(value) for value in distinct):
        raise DataError(f"{target} has infinite labels in the {split} rows: remove or label these rows")
    names = [label_name(value) for value in distinct]
    merged = {name: i for i, name in enumerate(dict.fromkeys(names))}
    table = np.array([merged[name] for name in names], dtype=np.int64)
    return list(merged), table[codes]


def _by_number(names: list[str], known: tuple[str, ...]) -> list[str]:
    """Labels that are numbers 0..C-1 stand for the given names, unless all of them are such names already."""
    if all(name in known for name in names):
        return names
    by_number = {str(i): name for i, name in enumerate(known)}
    return [by_number.get(name, name) for name in names]


def _refuse_twins(names: Sequence[str], target: str) -> None:
    """Refuse labels that differ in blanks around them only, which would be two classes of one."""
    seen: dict[str, str] = {}
    for name in names:
        twin = seen.setdefault(name.strip(), name)
        if twin != name:
            raise DataError(f"{target} has the labels {twin!r} and {name!r}, which differ in blanks only: write them alike")


def _refuse_measurement(values: np.ndarray, distinct: int, target: str) -> None:
    if values.dtype.kind == "f" and distinct > CONTINUOUS_VALUES and bool((values != np.floor(values)).any()):
        raise DataError(
            f"{target} looks like a measurement ({distinct} different values, with fractions): choose a column of classes, "
            "or cut it into classes first"
        )
    if distinct > max(2, len(values) // 2):
        raise DataError(
            f"{target} has {distinct} different values in {len(values)} rows, so it looks like an identifier or a measurement: "
            "choose a column of classes"
        )
