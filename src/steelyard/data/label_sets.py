"""Labels of examples that have several each: from columns of 0 and 1, from lists in a column, or from an array."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.raw import Frame

SEPARATORS = (";", "|", ",", " ")
"""Between the labels of a list, in the order in which they are tried."""
WAYS = "the label columns (labels=a;b;c), or what they begin with (prefix=is_), or --target for a column of lists"
"""How one says where the labels of a table are."""


def indicator(values: Any, names: Sequence[str], what: str) -> Tensor:
    """Labels `[N, L]` float32 from numbers, truth values or their text.

    Args:
        values: `[N, L]`: 0, 1, true, false, or missing where a label is not known.
        names: L names, for messages.
        what: where they come from, for messages.

    Raises:
        DataError: another shape, or another value: names the label and the value.

    Example:
        >>> indicator([[1, 0], [True, None]], ["cat", "dog"], "Y")
        tensor([[1., 0.],
                [1., nan]])
    """
    import pandas as pd

    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if array.ndim != 2 or array.shape[1] == 0 or array.shape[1] != len(names):
        found, wanted = list(array.shape), len(names) or "L"
        raise DataError(f"{what} should be 0 and 1 of shape [N, {wanted}], a column a label; found shape {found}")
    if array.dtype.kind in "biuf":
        numbers = array.astype(np.float64)
    else:
        frame = pd.DataFrame(array)
        missing = frame.isna().to_numpy()
        text = frame.astype(str).apply(lambda column: column.str.strip().str.lower())
        known = text.isin(("1", "0", "1.0", "0.0", "true", "false")).to_numpy()
        numbers = np.where(text.isin(("1", "1.0", "true")).to_numpy(), 1.0, np.where(known, 0.0, 2.0))
        numbers = np.where(missing | (text == "").to_numpy(), np.nan, numbers)
    wrong = ~(np.isnan(numbers) | (numbers == 0) | (numbers == 1))
    if wrong.any():
        row, place = (int(found) for found in np.argwhere(wrong)[0])
        value = array[row, place]
        shown = repr(value.item() if isinstance(value, np.generic) else value)
        raise DataError(
            f"label '{names[place]}' of {what} has the value {shown} in row {row + 1}: a label is 1 where it is "
            "present, 0 where it is absent, and empty where that is not known"
        )
    return torch.from_numpy(numbers.astype(np.float32))


def lists(values: Any, separator: str | None, names: Sequence[str] | None, what: str) -> tuple[Tensor, tuple[str, ...]]:
    """Labels `[N, L]` float32 and their names, from a list of labels for each example; an empty list is no labels.

    Args:
        values: text `[N]`, or lists; text in brackets with quoted labels (as pandas writes lists, and JSON) is a list, too.
        separator: between labels; None for the first of `SEPARATORS` that occurs.
        names: the labels that there are; None for all that occur, sorted.
        what: the column, for messages.

    Raises:
        DataError: values that are no text, or no label at all.
        UnknownName: a label that is not among `names`.

    Example:
        >>> lists(["cat; dog", "", "dog"], None, None, "tags")
        (tensor([[1., 1.],
                [0., 0.],
                [0., 1.]]), ('cat', 'dog'))
    """
    cells = [_cell(value) for value in np.asarray(values, dtype=object)]
    if separator is None:
        texts = [cell.strip() for cell in cells if isinstance(cell, str)]
        separator = next((one for one in SEPARATORS if any(one in text for text in texts)), SEPARATORS[0])
    parted = [cell.split(separator) if isinstance(cell, str) else cell for cell in cells]
    found = [[label.strip() for label in labels if label.strip()] for labels in parted]
    known = tuple(sorted({label for labels in found for label in labels}) if names is None else names)
    if not known:
        raise DataError(f"{what} names no labels: every list is empty")
    place = {name: number for number, name in enumerate(known)}
    matrix = torch.zeros(len(found), len(known))
    for row, labels in enumerate(found):
        for label in labels:
            if label not in place:
                raise UnknownName("label", label, known)
            matrix[row, place[label]] = 1.0
    return matrix, known


def _cell(value: Any) -> str | list[str]:
    """The labels of one example: text yet to be parted, or a list, also one written as text (`['a', 'b']`)."""
    import pandas as pd

    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return [str(label) for label in value]
    if pd.isna(value):
        return ""
    text = str(value).strip()
    if text[:1] + text[-1:] != "[]":
        return text
    try:
        written = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return [str(label) for label in written]


def label_columns(frame: Frame, named: Sequence[str], prefix: str) -> list[str]:
    """The columns of labels: those named, or those that begin with `prefix`.

    Raises:
        ArgumentError: neither or both are given, or a column twice.
        UnknownName: a named column does not exist.
        DataError: no column begins with the prefix.

    Example:
        >>> import pandas as pd
        >>> label_columns(pd.DataFrame(columns=["age", "is_a", "is_b"]), (), "is_")
        ['is_a', 'is_b']
    """
    columns = [str(name) for name in frame.columns]
    if bool(named) == bool(prefix):
        found = "both" if named else "neither"
        raise ArgumentError("labels", WAYS, found)
    if prefix:
        chosen = [name for name in columns if name.startswith(prefix)]
        if not chosen:
            raise DataError(f"no column begins with '{prefix}'; the columns are: {', '.join(columns[:12])}")
        return chosen
    for name in named:
        if name not in columns:
            raise UnknownName("column", name, columns)
    if len(set(named)) < len(named):
        raise ArgumentError("labels", "different columns", ";".join(named))
    return list(named)


def check_labels(labels: Tensor, names: Sequence[str], what: str) -> None:
    """Refuse labels that cannot be learnt from training examples.

    Raises:
        DataError: a label that is never, or always, present.
    """
    present, absent = (labels == 1).sum(0), (labels == 0).sum(0)
    for name, there, away in zip(names, present.tolist(), absent.tolist(), strict=True):
        if there == 0 or away == 0:
            found = "has no positive example" if there == 0 else "is present in every example"
            raise DataError(f"label '{name}' {found} in {what}: leave it out, as there is nothing to learn about it")
