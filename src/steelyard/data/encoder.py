"""Columns of a table as numbers a network can take. Everything that is learnt from data is learnt from training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.raw import Frame

CLIP = 10.0
"""Standardised values are cut to +-CLIP standard deviations, so that one wild value cannot take over a network."""
MOST_LEVELS = 1000
"""Categories of a column that get a number of their own, most frequent first; the others share number 0."""


@dataclass(frozen=True)
class NumericColumn:
    """A column of numbers, truth values (0 and 1) or dates (days since 1970): `clip((x - mean) / std, -10, 10)`.

    Attributes:
        name: the column's.
        fill: median of the training rows, used where the value is missing.
        mean: of the training rows, after filling.
        std: of the training rows, 1 where they are all the same.
    """

    name: str
    fill: float
    mean: float
    std: float

    def encode(self, column: Any) -> np.ndarray:
        """Standardised float32 `[N]`."""
        values = as_numbers(column, self.name)
        values = np.where(np.isnan(values), self.fill, values)
        return np.clip((values - self.mean) / self.std, -CLIP, CLIP).astype(np.float32)


@dataclass(frozen=True)
class CategoryColumn:
    """A column of categories: 1, 2, ... in alphabetical order; 0 for missing ones and those not seen in training rows.

    Attributes:
        name: the column's.
        levels: the categories as text.
    """

    name: str
    levels: tuple[str, ...]

    def encode(self, column: Any) -> np.ndarray:
        """Category numbers int64 `[N]` in 0..len(levels)."""
        import pandas as pd

        known = pd.Index(self.levels, dtype=object)
        return np.asarray(known.get_indexer(_as_text(column).astype(object)), dtype=np.int64) + 1


@dataclass(frozen=True)
class TableEncoder:
    """Numeric and categorical columns of a table, as fitted on training rows.

    Attributes:
        numeric: in column order.
        categorical: in column order.
        notes: what was left out, a sentence each.
    """

    numeric: tuple[NumericColumn, ...]
    categorical: tuple[CategoryColumn, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(cls, train: Frame, *, missing: str = "error") -> TableEncoder:
        """Learn medians, means, standard deviations and categories.

        Args:
            train: the training rows, features only.
            missing: "error" refuses missing values; "median" fills numbers with the median of the training rows and gives
                missing categories the number 0.

        Raises:
            ArgumentError: `missing` is neither.
            DataError: missing or infinite values, columns that cannot be turned into numbers, or none left.
        """
        if missing not in ("error", "median"):
            raise ArgumentError("missing", "'error' or 'median'", repr(missing))
        if missing == "error":
            refuse_missing(train, "training")
        numeric, categorical, notes = [], [], []
        for name in train.columns:
            column = train[name]
            if column.isna().all():
                notes.append(f"column '{name}' was left out: no training row has a value there")
            elif is_numeric(column):
                numeric.append(_fit_numeric(name, column))
            else:
                categorical.append(_fit_category(name, column))
        if not numeric and not categorical:
            raise DataError("no feature columns are left to learn from")
        return cls(tuple(numeric), tuple(categorical), tuple(notes))

    def columns(self) -> list[str]:
        """Names of the columns that are used."""
        return [column.name for column in self.numeric] + [column.name for column in self.categorical]

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Known categories of each categorical column, without number 0."""
        return tuple(len(column.levels) for column in self.categorical)

    def encode(self, frame: Frame, *, onehot: bool = False) -> Tensor | Mapping[str, Tensor]:
        """Rows as tensors.

        Args:
            frame: has all columns; others are ignored.
            onehot: one 0/1 feature a category instead of its number; missing and unseen ones are 0 everywhere.

        Returns:
            `[N, F]` float32, or, where there are categorical columns and not `onehot`,
            {"numeric": `[N, F]` float32, "categorical": `[N, K]` int64}.

        Raises:
            DataError: a column is not there, or has infinite values or text instead of numbers.
        """
        absent = [name for name in self.columns() if name not in frame.columns]
        if absent:
            raise DataError(f"the rows have no column '{absent[0]}', which the training rows have")
        numbers = np.empty((len(frame), len(self.numeric)), dtype=np.float32)
        for i, column in enumerate(self.numeric):
            numbers[:, i] = column.encode(frame[column.name])
        numeric = torch.from_numpy(numbers)
        if not self.categorical:
            return numeric
        categories = torch.from_numpy(np.stack([column.encode(frame[column.name]) for column in self.categorical], axis=1))
        if not onehot:
            return {"numeric": numeric, "categorical": categories}
        wide = [
            torch.nn.functional.one_hot(categories[:, k], known + 1)[:, 1:].float()
            for k, known in enumerate(self.cardinalities)
        ]
        return torch.cat([numeric, *wide], dim=1)


def refuse_missing(frame: Frame, which: str) -> None:
    """Refuse missing values.

    Raises:
        DataError: names the first column with such values, how many there are, and the way out.
    """
    missing = frame.isna().sum()
    missing = missing[missing > 0]
    if len(missing):
        others = f" (and {len(missing) - 1} more columns)" if len(missing) > 1 else ""
        raise DataError(
            f"column '{missing.index[0]}'{others} has {int(missing.iloc[0])} missing values (NaN) in the {which} rows: fill or "
            "remove them, or use --missing median (in Python missing='median')"
        )


def refuse_infinite(frame: Frame, which: str) -> None:
    """Refuse infinite values, whatever is done about missing ones.

    Raises:
        DataError: names the first column with such values and how many there are.
    """
    for name in frame.columns:
        column = frame[name]
        if column.dtype.kind == "f":
            infinite = int(np.isinf(column.to_numpy(dtype=np.float64, na_value=np.nan)).sum())
            if infinite:
                raise DataError(f"column '{name}' has {infinite} infinite values in the {which} rows: replace or remove them")


def is_numeric(column: Any) -> bool:
    """Is this a column of numbers, truth values or dates, rather than of categories?

    Raises:
        DataError: neither: bytes, lists, complex numbers, ...
    """
    import pandas as pd

    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biufmM":
        return True
    kinds = pd.api.types
    if isinstance(column.dtype, pd.CategoricalDtype):
        return False
    if kinds.is_complex_dtype(column.dtype):
        raise DataError(f"column '{column.name}' has complex numbers, which are no features: split or drop it")
    if kinds.is_numeric_dtype(column.dtype) or kinds.is_datetime64_any_dtype(column.dtype):
        return True
    if kinds.is_timedelta64_dtype(column.dtype):
        return True
    inferred = kinds.infer_dtype(column, skipna=True)
    if inferred in ("string", "boolean", "empty", "mixed-integer"):
        return bool(inferred == "boolean")
    if inferred in ("floating", "integer", "decimal", "mixed-integer-float", "date", "datetime", "datetime64"):
        return True
    example = type(column.dropna().iloc[0]).__name__
    raise DataError(
        f"column '{column.name}' holds {example} values, which are neither numbers nor categories: leave it out with --drop "
        "(in Python drop=...)"
    )


def as_numbers(column: Any, name: str) -> np.ndarray:
    """A numeric column as float64 `[N]`, NaN where missing; dates as days since 1970, times as days.

    Raises:
        DataError: text among the numbers, or infinite values.
    """
    import pandas as pd

    try:
        if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) in ("date", "datetime"):
            column = pd.to_datetime(column)
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            column = column.dt.tz_convert(None)
        if column.dtype.kind == "M":
            column = (column - pd.Timestamp(0)) / pd.Timedelta(days=1)
        elif column.dtype.kind == "m":
            column = column / pd.Timedelta(days=1)
        values: np.ndarray = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise DataError(f"column '{name}' has text where the training rows have numbers") from None
    infinite = int(np.isinf(values).sum())
    if infinite:
        raise DataError(f"column '{name}' has {infinite} infinite values: replace or remove them")
    return values


def _fit_numeric(name: str, column: Any) -> NumericColumn:
    values = as_numbers(column, name)
    known = values[~np.isnan(values)]
    fill = float(np.median(known))
    values = np.where(np.isnan(values), fill, values)
    # Moments of values scaled to [-1, 1]: squares of very large numbers would overflow.
    scale = float(np.abs(values).max()) or 1.0
    mean, std = float((values / scale).mean()), float((values / scale).std())
    constant = float(values.min()) == float(values.max())
    return NumericColumn(name, fill, fill if constant else mean * scale, 1.0 if constant or std == 0 else std * scale)


def _fit_category(name: str, column: Any) -> CategoryColumn:
    text = _as_text(column.dropna())
    frequent = text.value_counts(sort=True)
    if len(frequent) > MOST_LEVELS:
        frequent = frequent.sort_index().sort_values(ascending=False, kind="stable").iloc[:MOST_LEVELS]
    return CategoryColumn(name, tuple(sorted(str(level) for level in frequent.index)))


def _as_text(column: Any) -> Any:
    """Categories as text, missing ones still missing; 1.0 reads "1", as in a file without gaps."""
    from steelyard.data.labels import label_name

    return column.astype(object).map(label_name, na_action="ignore")
