"""Columns of a table as a network takes them, each with what was learnt about it from training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from steelyard.core.errors import DataError
from steelyard.data.times import DAY, as_seconds, is_times
from steelyard.data.words import word_counts

CLIP = 10.0
"""Standardised values are cut to +-CLIP standard deviations, so that one wild value cannot take over a network."""
SCORE_CLIP = 5.199337582605575
"""Largest normal score, at the probability 1 - 1e-7, as in scikit-learn's `QuantileTransformer`."""
PARTS = {"month": 12.0, "weekday": 7.0, "hour": 24.0}
"""Parts of a date that come round again, and after how many steps."""
TEXT_WIDTH = 64
"""Places that the words of a free text are counted in."""


@dataclass(frozen=True)
class NumericColumn:
    """A column of numbers, truth values (0 and 1) or dates (days since 1970): `clip((x - mean) / std, -10, 10)`.

    With `quantiles`, `clip(ndtri(p(x)), -bound, bound)` instead, where p(x) is the share of training values below x by linear
    interpolation between the quantiles, and the middle of that share where several quantiles are x.

    Attributes:
        name: the column's.
        fill: median of the training rows, used where the value is missing.
        mean: of the training rows, after filling.
        std: of the training rows, 1 where they are all the same.
        indicator: is there a second feature that is 1 where the value is missing, 0 elsewhere?
        quantiles: of the training rows at equal steps of probability from 0 to 1, ascending; empty for standardising.
        bound: largest normal score.
        dates: does the column hold dates?
    """

    name: str
    fill: float
    mean: float
    std: float
    indicator: bool = False
    quantiles: tuple[float, ...] = ()
    bound: float = SCORE_CLIP
    dates: bool = False

    @property
    def width(self) -> int:
        """Features: 1, or 2 with an indicator."""
        return 2 if self.indicator else 1

    def encode(self, column: Any) -> np.ndarray:
        """Standardised values or normal scores, float32 `[N]`."""
        return self._scaled(self._numbers(column))

    def features(self, column: Any) -> np.ndarray:
        """All features, float32 `[N, width]`."""
        values = self._numbers(column)
        parts = [self._scaled(values)]
        if self.indicator:
            parts.append(np.isnan(values).astype(np.float32))
        return np.stack(parts, axis=1)

    def _numbers(self, column: Any) -> np.ndarray:
        if self.dates:
            return as_days(column, self.name)
        if is_times(column):
            raise _changed(column, column.notna(), self.name, "times of day", "numbers")
        if is_dates(column) and not column.isna().all():
            raise _changed(column, column.notna(), self.name, "dates", "numbers")
        return as_numbers(column, self.name)

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        values = np.where(np.isnan(values), self.fill, values)
        if self.quantiles:
            return normal_scores(values, np.array(self.quantiles), self.bound)
        with np.errstate(over="ignore"):  # what is infinitely far is cut like all that is far
            return np.clip((values - self.mean) / self.std, -CLIP, CLIP).astype(np.float32)


@dataclass(frozen=True)
class DateColumn:
    """A column of dates: days since 1970 as a number, and sine and cosine of the parts that come round again.

    Attributes:
        days: the days as a column of numbers.
        parts: which of `PARTS` vary in the training rows, in that order; all 0 where a date is missing.
    """

    days: NumericColumn
    parts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The column's."""
        return self.days.name

    @property
    def width(self) -> int:
        """Features: those of the days, and 2 a part."""
        return self.days.width + 2 * len(self.parts)

    def features(self, column: Any) -> np.ndarray:
        """All features, float32 `[N, width]`."""
        import pandas as pd

        days = as_days(column, self.name)
        found = [self.days.features(pd.Series(days, name=self.name))]
        for part in self.parts:
            angle = 2 * np.pi * date_part(days, part) / PARTS[part]
            both = np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)
            found.append(np.nan_to_num(both))
        return np.concatenate(found, axis=1)


@dataclass(frozen=True)
class TimeColumn:
    """A column of times of day: seconds since midnight as a number, and sine and cosine of the angle of the day.

    Attributes:
        seconds: the seconds as a column of numbers.
        angle: are sine and cosine features? Both are 0 where a time is missing.
    """

    seconds: NumericColumn
    angle: bool = False

    @property
    def name(self) -> str:
        """The column's."""
        return self.seconds.name

    @property
    def width(self) -> int:
        """Features: those of the seconds, and 2 for the angle."""
        return self.seconds.width + 2 * int(self.angle)

    def features(self, column: Any) -> np.ndarray:
        """All features, float32 `[N, width]`."""
        import pandas as pd

        seconds = as_seconds(column, self.name)
        found = [self.seconds.features(pd.Series(seconds, name=self.name))]
        if self.angle:
            turn = 2 * np.pi * seconds / DAY
            found.append(np.nan_to_num(np.stack([np.sin(turn), np.cos(turn)], axis=1).astype(np.float32)))
        return np.concatenate(found, axis=1)


@dataclass(frozen=True)
class TextColumn:
    """A column of free text: `clip((log(1 + n_b) - mean_b) / std_b, -10, 10)` with n_b the words that fall in place b.

    A word is in lower case, and falls in the place of its CRC-32 modulo the number of places, the same on every machine.

    Attributes:
        name: the column's.
        mean: of the training rows `[places]`.
        std: of the training rows `[places]`, 1 where they are all the same.
        indicator: is there a last feature that is 1 where the text is missing, 0 elsewhere?
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    indicator: bool = False

    @property
    def width(self) -> int:
        """Features: one a place, and the indicator."""
        return len(self.mean) + int(self.indicator)

    def features(self, column: Any) -> np.ndarray:
        """All features, float32 `[N, width]`."""
        counts = word_counts(column, len(self.mean))
        scaled = np.clip((counts - np.array(self.mean)) / np.array(self.std), -CLIP, CLIP).astype(np.float32)
        if not self.indicator:
            return np.asarray(scaled)
        return np.concatenate([scaled, column.isna().to_numpy(dtype=np.float32)[:, None]], axis=1)


@dataclass(frozen=True)
class CategoryColumn:
    """A column of categories: 1, 2, ... in alphabetical order; 0 for those that are rare or not in training rows.

    Attributes:
        name: the column's.
        levels: the categories as text.
        missing: do missing ones have the last number, len(levels) + 1, to themselves? Otherwise they are number 0 as well.
    """

    name: str
    levels: tuple[str, ...]
    missing: bool = False

    @property
    def cardinality(self) -> int:
        """Largest number."""
        return len(self.levels) + int(self.missing)

    def encode(self, column: Any) -> np.ndarray:
        """Category numbers int64 `[N]` in 0..cardinality."""
        import pandas as pd

        known = pd.Index(self.levels, dtype=object)
        if isinstance(column.dtype, pd.StringDtype | pd.CategoricalDtype):  # each different value is looked up once
            codes, values = pd.factorize(column)
            found = known.get_indexer(as_text(pd.Series(values)).astype(object)) + 1
            numbers = np.append(found, 0)[codes].astype(np.int64)
        else:
            numbers = np.asarray(known.get_indexer(as_text(column).astype(object)), dtype=np.int64) + 1
        if self.missing:
            numbers[column.isna().to_numpy()] = len(self.levels) + 1
        return np.asarray(numbers)


Feature: TypeAlias = NumericColumn | DateColumn | TimeColumn | TextColumn
"""A column that becomes numbers."""


def normal_scores(values: np.ndarray, quantiles: np.ndarray, bound: float = SCORE_CLIP) -> np.ndarray:
    """Ranks of values `[N]` among training values, as float32 normal scores `[N]` cut to +-bound.

    Reference:
        Van der Waerden, 1952; interpolation as in scikit-learn's `QuantileTransformer`.

    Departures:
        - scikit-learn gives every value equal to the smallest (largest) one the lowest (highest) score, so a column that is
          mostly zeros lies at -5.2; here such values are in the middle of their ranks, as all other equal values are.

    Example:
        >>> normal_scores(np.array([-9.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]), 2.0).tolist()
        [-2.0, 0.0, 2.0]
    """
    from scipy.special import ndtri

    if len(quantiles) < 2 or quantiles[0] == quantiles[-1]:
        return np.asarray(np.sign(values - quantiles[0]) * bound, dtype=np.float32)
    levels = np.linspace(0.0, 1.0, len(quantiles))
    upper = np.interp(values, quantiles, levels)
    lower = -np.interp(-values, -quantiles[::-1], -levels[::-1])
    return np.asarray(np.clip(ndtri((upper + lower) / 2), -bound, bound), dtype=np.float32)


def as_numbers(column: Any, name: str) -> np.ndarray:
    """A numeric column as float64 `[N]`, NaN where missing; dates as days since 1970, durations as days, times as seconds.

    Raises:
        DataError: text among the numbers, or infinite values.
    """
    import pandas as pd

    found = column
    try:
        if is_dates(column):
            return as_days(column, name)
        if is_times(column):
            return as_seconds(column, name)
        if is_durations(column):
            column = pd.to_timedelta(column) / pd.Timedelta(days=1)
        values: np.ndarray = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        read = pd.to_numeric(found.astype(object), errors="coerce").isna() & found.notna()
        raise _changed(found, read, name, "text", "numbers") from None
    infinite = int(np.isinf(values).sum())
    if infinite:
        raise DataError(f"column '{name}' has {infinite} infinite values: replace or remove them")
    return values


def as_days(column: Any, name: str) -> np.ndarray:
    """A column of dates, or of text that is ISO 8601, as days since 1970, float64 `[N]`, NaN where missing.

    Raises:
        DataError: something else.
    """
    import pandas as pd

    from steelyard.data.dates import ISO, parse_dates
    from steelyard.data.kinds import as_written

    if column.isna().all():
        return np.full(len(column), np.nan)
    if not is_dates(column):
        if column.dtype.kind in "biufm":
            raise _changed(column, column.notna(), name, "numbers", "dates")
        if is_times(column):
            raise _changed(column, column.notna(), name, "times of day", "dates")
        read = parse_dates(as_written(column), ISO)
        if (read.isna() & column.notna()).any():
            raise _changed(column, read.isna() & column.notna(), name, "text", "dates")
        column = read
    elif column.dtype == object:
        column = pd.to_datetime(column)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert(None)
    days = (column - pd.Timestamp(0)) / pd.Timedelta(days=1)
    return np.asarray(days.to_numpy(dtype=np.float64, na_value=np.nan))


def is_dates(column: Any) -> bool:
    """Does the column hold dates, by its type or by its objects?"""
    import pandas as pd

    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind == "M":
        return True
    return column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) in ("date", "datetime", "datetime64")


def is_durations(column: Any) -> bool:
    """Does the column hold durations, by its type or by its objects?"""
    import pandas as pd

    if column.dtype.kind == "m":
        return True
    return column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) in ("timedelta", "timedelta64")


def date_part(days: np.ndarray, part: str) -> np.ndarray:
    """One of `PARTS` of days since 1970 `[N]`, from 0, NaN where missing.

    Example:
        >>> [float(date_part(np.array([0.25]), part)[0]) for part in ("month", "weekday", "hour")]
        [0.0, 3.0, 6.0]
    """
    if part == "hour":
        return np.asarray(np.round((days - np.floor(days)) * 24, 9))
    if part == "weekday":
        return np.asarray((np.floor(days) + 3) % 7)  # 1 January 1970 was a Thursday
    known = ~np.isnan(days)
    months = np.full(len(days), np.nan)
    whole = np.floor(days[known]).astype(np.int64).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    months[known] = whole % 12
    return months


def is_numeric(column: Any) -> bool:
    """Is this a column of numbers, truth values, dates, times of day or durations, rather than of categories?

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
    if is_times(column) or is_durations(column):
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


def as_text(column: Any) -> Any:
    """Categories as text, missing ones still missing; 1.0 reads "1", as in a file without gaps."""
    import pandas as pd

    from steelyard.data.labels import label_name

    if isinstance(column.dtype, pd.StringDtype):
        return column
    return column.astype(object).map(label_name, na_action="ignore")


def _changed(column: Any, wrong: Any, name: str, now: str, before: str) -> DataError:
    chosen = column[wrong]
    example = f", such as {str(chosen.iloc[0])!r}" if len(chosen) else ""
    return DataError(f"column '{name}' has {now} where the training rows have {before}{example}")
