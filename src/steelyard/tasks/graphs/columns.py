"""The columns of a table as features of nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import DataError
from steelyard.data.encoder import TableEncoder
from steelyard.data.raw import Frame
from steelyard.data.tabular import identifiers


class Features(NamedTuple):
    """What a table says about its rows.

    Attributes:
        values: `[n, d]` float64: numbers as they are, then columns of 0 and 1.
        flags: how many of the last columns are 0 and 1: categories, and where values were missing.
        notes: what was left out or made of a column, a sentence each.
    """

    values: Tensor
    flags: int
    notes: tuple[str, ...]


def node_features(frame: Frame, where: str, *, missing: str = "error") -> Features:
    """Numbers as they are and words as one column of 0 and 1 for each.

    All rows count, as in a graph the features of all nodes are seen in training. Text that names a row instead of describing
    it is left out, as in tables.

    Args:
        frame: the feature columns.
        where: the file, for messages.
        missing: "error" refuses missing values; "median" fills numbers with the median and gives missing words 0 everywhere;
            "indicator" also adds a column of 0 and 1 that says where they were.

    Raises:
        DataError: missing values where they are refused, or no column is left.

    Example:
        >>> import pandas as pd
        >>> found = node_features(pd.DataFrame({"age": [3, 1, 3], "city": ["a", "b", "a"]}), "t.csv")
        >>> found.values.tolist(), found.flags
        ([[3.0, 1.0, 0.0], [1.0, 0.0, 1.0], [3.0, 1.0, 0.0]], 2)
    """
    words = [str(name) for name in frame.columns if frame[name].dtype.kind not in "biuf"]
    naming = identifiers(frame[words])
    left_out = naming | {str(name): "no row has a value there" for name in frame.columns if frame[name].isna().all()}
    notes = [f"column '{name}' was left out: {why}" for name, why in left_out.items()]
    kept = frame.drop(columns=list(left_out))
    if kept.shape[1] == 0:
        raise DataError(f"{where} has no feature column left: {'; '.join(notes)}")
    if missing == "error":
        _refuse_missing(kept, where)
    named = [name for name in words if name not in left_out]
    numbers, holes = _numbers(kept.drop(columns=named), missing)
    texts, ones, told = _words(kept[named], missing)
    values = torch.cat([numbers, texts, holes, ones], 1)
    return Features(values, holes.shape[1] + ones.shape[1], (*notes, *told))


def _refuse_missing(frame: Frame, where: str) -> None:
    lacking = [(str(name), int(count)) for name, count in frame.isna().sum().items() if count]
    if lacking:
        name, count = lacking[0]
        raise DataError(
            f"column '{name}' of {where} has {count} missing values: fill them in with --missing median, or leave the column "
            f"out with --drop {name}"
        )


def _numbers(frame: Frame, missing: str) -> tuple[Tensor, Tensor]:
    """Numbers `[n, .]` with holes filled, and where they were `[n, .]` if that is asked for."""
    values = frame.to_numpy(np.float64, copy=True, na_value=np.nan)
    empty = np.isnan(values)
    for place in np.flatnonzero(empty.any(0)):
        values[empty[:, place], place] = np.nanmedian(values[:, place])
    holes = empty[:, empty.any(0)] if missing == "indicator" else empty[:, :0]
    return torch.from_numpy(values), torch.from_numpy(holes).double()


def _words(frame: Any, missing: str) -> tuple[Tensor, Tensor, Sequence[str]]:
    """Dates and the like as numbers `[n, .]`, categories as 0 and 1 `[n, .]`, and notes."""
    if frame.shape[1] == 0:
        nothing = torch.empty(len(frame), 0, dtype=torch.float64)
        return nothing, nothing, ()
    encoder = TableEncoder.fit(frame, missing=missing)
    found = encoder.encode(frame, onehot=True)
    assert isinstance(found, Tensor)
    return found[:, : encoder.width].double(), found[:, encoder.width :].double(), encoder.notes
