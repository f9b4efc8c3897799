"""What is learnt about the columns of a table while it goes past in chunks, in memory that does not grow with the rows."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.core.seeds import derive
from steelyard.data.columns import (
    PARTS,
    SCORE_CLIP,
    CategoryColumn,
    DateColumn,
    Feature,
    NumericColumn,
    TextColumn,
    TimeColumn,
    as_days,
    as_numbers,
    as_text,
    date_part,
)  # fmt: skip
from steelyard.data.times import as_seconds
from steelyard.data.words import word_counts

MOST_LEVELS = 1000
"""Categories of a column that get a number of their own, most frequent first; the others share number 0."""
MOST_COUNTED = 200_000
"""Different categories of a column that are counted at a time."""
MOST_QUANTILES = 1000
"""Quantiles of a column that are kept."""
SMALLEST = float(np.finfo(np.float64).tiny)
"""Nothing is divided by less."""
SAMPLE = 100_000
"""Rows of chunks from which medians and quantiles are taken."""


@dataclass(frozen=True)
class Treatment:
    """How columns are to be encoded; the arguments of `TableEncoder.fit`.

    Attributes:
        missing: "error", "median" or "indicator".
        numeric: "standard" or "quantile".
        dates: "number" or "parts".
        text: "category", "hash" or "drop".
        least: training rows from which a category has a number of its own.
        constant: "keep" or "drop".
    """

    missing: str = "error"
    numeric: str = "standard"
    dates: str = "number"
    text: str = "category"
    least: int = 1
    constant: str = "keep"

    def indicator(self, missing: int) -> bool:
        """Does a column with so many missing values get an indicator?"""
        return self.missing == "indicator" and missing > 0


class RowSample:
    """A random sample of at most `most` rows of chunks; which rows does not depend on where one chunk ends.

    Every row draws a number, and the rows with the smallest ones are kept, in order.

    Args:
        most: rows to keep; None for all.
        seed: of the numbers.

    Example:
        >>> sample = RowSample(2)
        >>> before, chosen = sample.next(1), sample.next(5)
        >>> sample.held
        2
    """

    def __init__(self, most: int | None, seed: int = 0) -> None:
        self._most, self._draws = most, np.random.Generator(np.random.PCG64(derive(seed, "sampled rows")))
        self._keys = np.empty(0)
        self.held = 0

    def next(self, rows: int) -> np.ndarray | None:
        """Of the rows held and `rows` further ones, in this order: those to hold now, ascending; None for all."""
        if self._most is None:
            self.held += rows
            return None
        keys = np.concatenate([self._keys, self._draws.random(rows)])
        if len(keys) <= self._most:
            self._keys, self.held = keys, len(keys)
            return None
        chosen = np.sort(np.argpartition(keys, self._most - 1)[: self._most])
        self._keys, self.held = keys[chosen], self._most
        return chosen


class Sampled:
    """The values `[n]` of a column in the rows of a `RowSample`."""

    def __init__(self, held: int) -> None:
        self._parts: list[np.ndarray] = [np.full(held, np.nan)]

    def add(self, values: np.ndarray, chosen: np.ndarray | None) -> None:
        """Take in the values of a chunk, and keep the chosen ones."""
        self._parts.append(values)
        if chosen is not None:
            self._parts = [self.values()[chosen]]

    def values(self) -> np.ndarray:
        """Values, NaN where missing."""
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]


class Moments:
    """Number, mean, sum of squared deviations, smallest and largest of values that come in chunks.

    Values are divided by the largest magnitude so far, since squares of very large numbers would overflow. Chunks are joined
    by the update of Chan, Golub and LeVeque (1979).

    Example:
        >>> moments = Moments()
        >>> moments.add(np.array([1.0, 2.0])); moments.add(np.array([6.0]))
        >>> moments.count, moments.mean, round(moments.std ** 2, 9)
        (3, 3.0, 4.666666667)
    """

    def __init__(self) -> None:
        self.count, self.low, self.high = 0, np.inf, -np.inf
        self._scale, self._mean, self._squares = SMALLEST, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        """Take in known values."""
        if not len(values):
            return
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        scale = max(abs(self.low), abs(self.high), SMALLEST)
        if scale != self._scale:  # it only grows
            ratio = self._scale / scale
            self._scale, self._mean, self._squares = scale, self._mean * ratio, self._squares * ratio * ratio
        scaled = values / scale
        mean = float(scaled.mean())
        self._join(len(values), mean, float(((scaled - mean) ** 2).sum()))

    def filled(self, value: float, times: int) -> Moments:
        """These moments with one of the known values added some more times."""
        other = Moments()
        other.__dict__.update(self.__dict__)
        if times:
            other._join(times, value / self._scale, 0.0)
        return other

    def _join(self, count: int, mean: float, squares: float) -> None:
        total, step = self.count + count, mean - self._mean
        self._mean += step * count / total
        self._squares += squares + step * step * self.count * count / total
        self.count = total

    @property
    def mean(self) -> float:
        """Mean."""
        return self._mean * self._scale

    @property
    def std(self) -> float:
        """Standard deviation (divided by the number of values)."""
        return float(np.sqrt(self._squares / max(self.count, 1))) * self._scale


class Numbers:
    """A column of numbers going past.

    Args:
        name: the column's.
        treatment: of the columns.
        held: rows that the sample holds already, in all of which this column was missing.
        missing: rows gone past, in all of which it was missing.
        nature: "number", "date" or "time" (of day).
    """

    def __init__(self, name: str, treatment: Treatment, *, held: int = 0, missing: int = 0, nature: str = "number") -> None:
        self.name, self.missing = name, missing
        self._treatment, self._nature, dates = treatment, nature, nature == "date"
        self._rows, self._moments, self._sampled = missing, Moments(), Sampled(held)
        self._parts = dict.fromkeys(PARTS, (np.inf, -np.inf)) if dates and treatment.dates == "parts" else {}

    def add(self, column: Any, chosen: np.ndarray | None) -> None:
        """Take in a chunk, and keep its chosen rows as a sample."""
        values = _READ[self._nature](column, self.name)
        known = values[~np.isnan(values)]
        self._rows, self.missing = self._rows + len(values), self.missing + len(values) - len(known)
        self._sampled.add(values, chosen)
        self._moments.add(known)
        for part, (low, high) in self._parts.items():
            if len(known):
                found = date_part(known, part)
                self._parts[part] = min(low, float(found.min())), max(high, float(found.max()))

    def finish(self) -> Feature:
        """What was learnt."""
        sample = self._sampled.values()
        known = sample[~np.isnan(sample)]
        if not len(known):  # so rare that the sample has none: half-way, rather than nothing
            known = np.array([self._moments.low / 2 + self._moments.high / 2])
        fill = float(np.median(known))
        mean, std = self._mean_and_std(sample, fill) if len(sample) == self._rows else self._all_rows(fill)
        if self._constant:
            mean, std = fill, 1.0
        quantiles: tuple[float, ...] = ()
        bound = SCORE_CLIP
        if self._treatment.numeric == "quantile":
            bound = _largest_score(self._moments.count)
            levels = np.linspace(0.0, 1.0, min(MOST_QUANTILES, len(known)))
            cut = np.maximum.accumulate(np.quantile(known, levels))  # interpolation may undo the order by a rounding error
            cut[0], cut[-1] = self._moments.low, self._moments.high
            quantiles = tuple(cut.tolist())
        indicator = self._treatment.indicator(self.missing)
        plain = self._nature == "date" and not self._parts
        number = NumericColumn(self.name, fill, mean, std or 1.0, indicator, quantiles, bound, plain)
        if self._nature == "time":
            return TimeColumn(number, self._treatment.dates == "parts" and not self._constant)
        if not self._parts:
            return number
        return DateColumn(number, tuple(part for part, (low, high) in self._parts.items() if low < high))

    @property
    def varies(self) -> bool:
        """Do its features differ between rows?"""
        return not self._constant or self._treatment.indicator(self.missing)

    @property
    def _constant(self) -> bool:
        """Was every known value the same?"""
        return self._moments.low == self._moments.high

    def _mean_and_std(self, values: np.ndarray, fill: float) -> tuple[float, float]:
        values = np.where(np.isnan(values), fill, values)
        # Moments of values scaled to [-1, 1]: squares of very large numbers would overflow.
        scale = float(np.abs(values).max()) or 1.0
        return float((values / scale).mean()) * scale, float((values / scale).std()) * scale

    def _all_rows(self, fill: float) -> tuple[float, float]:
        moments = self._moments.filled(fill, self.missing)
        return moments.mean, moments.std


_READ: dict[str, Callable[[Any, str], np.ndarray]] = {"number": as_numbers, "date": as_days, "time": as_seconds}


class Levels:
    """A column of categories going past.

    Counts are exact for up to `most` different categories. With more, the rarer half is forgotten whenever there are too many,
    so a count may be too small by at most `lost`, and the frequent ones are kept (Misra and Gries, 1982).

    Args:
        name: the column's.
        treatment: of the columns.
        missing: rows gone past, in all of which it was missing.
        most: categories counted at a time.

    Attributes:
        missing: rows without a value.
        lost: what a count may lack.
    """

    def __init__(self, name: str, treatment: Treatment, *, missing: int = 0, most: int = MOST_COUNTED) -> None:
        self.name, self.missing, self.lost = name, missing, 0
        self._treatment, self._most = treatment, most
        self._counts: dict[str, int] = {}

    def add(self, column: Any, chosen: np.ndarray | None = None) -> None:
        """Take in a chunk."""
        known = as_text(column.dropna())
        self.missing += len(column) - len(known)
        found = known.value_counts(sort=False)
        for level, count in zip(found.index.tolist(), found.tolist(), strict=True):
            self._counts[str(level)] = self._counts.get(str(level), 0) + count
        if len(self._counts) > self._most:
            kept = heapq.nsmallest(self._most // 2, self._counts.items(), key=lambda item: (-item[1], item[0]))
            names = {level for level, _ in kept}
            self.lost += max(count for level, count in self._counts.items() if level not in names)
            self._counts = dict(kept)

    @property
    def varies(self) -> bool:
        """Do its category numbers differ between rows?"""
        return len(self._counts) > 1 or bool(self.lost) or self.missing > 0

    def finish(self) -> CategoryColumn:
        """What was learnt."""
        enough = [(level, count) for level, count in self._counts.items() if count >= self._treatment.least]
        frequent = heapq.nsmallest(MOST_LEVELS, enough, key=lambda item: (-item[1], item[0]))
        levels = tuple(sorted(level for level, _ in frequent))
        return CategoryColumn(self.name, levels, self._treatment.indicator(self.missing))

    def note(self) -> str:
        """What a user should know; empty where there is nothing."""
        if self.lost:
            return (
                f"column '{self.name}' has more than {self._most:,} categories: its rare ones were counted roughly, by at most "
                f"{self.lost} rows too few"
            )
        return ""


class Words:
    """A column of free text going past.

    Args:
        name: the column's.
        treatment: of the columns.
        places: that words are counted in.
        missing: rows gone past, in all of which it was missing.
    """

    def __init__(self, name: str, treatment: Treatment, places: int, *, missing: int = 0) -> None:
        self.name, self.missing = name, missing
        self._treatment, self._rows = treatment, missing
        self._sum, self._squares = np.zeros(places), np.zeros(places)

    def add(self, column: Any, chosen: np.ndarray | None = None) -> None:
        """Take in a chunk."""
        counts = word_counts(column, len(self._sum)).astype(np.float64)
        self._rows, self.missing = self._rows + len(column), self.missing + int(column.isna().sum())
        self._sum += counts.sum(axis=0)
        self._squares += (counts**2).sum(axis=0)

    @property
    def varies(self) -> bool:
        """Do its features differ between rows?"""
        return bool((self._variance() > 1e-12).any()) or self._treatment.indicator(self.missing)

    def _variance(self) -> np.ndarray:
        return np.maximum(self._squares / self._rows - (self._sum / self._rows) ** 2, 0.0)

    def finish(self) -> TextColumn:
        """What was learnt."""
        mean, variance = self._sum / self._rows, self._variance()
        std = np.where(variance > 1e-12, np.sqrt(variance), 1.0)
        return TextColumn(self.name, tuple(mean.tolist()), tuple(std.tolist()), self._treatment.indicator(self.missing))


def _largest_score(rows: int) -> float:
    from scipy.special import ndtri

    return float(min(SCORE_CLIP, ndtri(1 - 0.5 / max(rows, 2))))
