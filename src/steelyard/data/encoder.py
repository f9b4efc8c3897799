"""Columns of a table as numbers a network can take. Everything that is learnt from data is learnt from training rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError, nearest
from steelyard.data.columns import (
    CLIP,
    TEXT_WIDTH,
    CategoryColumn,
    Feature,
    NumericColumn,
    as_numbers,
    is_dates,
    is_numeric,
)  # fmt: skip
from steelyard.data.columns_json import read_column, written_column
from steelyard.data.gather import MOST_LEVELS, SAMPLE, Levels, Numbers, RowSample, Treatment, Words
from steelyard.data.raw import Frame
from steelyard.data.times import is_times
from steelyard.data.words import looks_free

__all__ = [
    "CLIP", "MOST_LEVELS", "CategoryColumn", "NumericColumn", "TableEncoder", "as_numbers", "is_numeric", "refuse_infinite",
    "refuse_missing",
]  # fmt: skip

MISSING, NUMERIC, DATES, TEXT, CONSTANT = (
    ("error", "median", "indicator"),
    ("standard", "quantile"),
    ("number", "parts"),
    ("category", "hash", "drop"),
    ("keep", "drop"),
)
JSON_VERSION = 1


@dataclass(frozen=True)
class TableEncoder:
    """Numeric and categorical columns of a table, as fitted on training rows.

    Attributes:
        numeric: columns that become numbers, in column order; dates, times of day and free text among them.
        categorical: columns that become category numbers, in column order.
        notes: what was left out and what was put together, a sentence each.
        left_out: columns that no row is encoded from, and why.

    Example:
        >>> import pandas as pd
        >>> train = pd.DataFrame({"age": [20.0, None, 40.0], "city": ["a", "b", "a"]})
        >>> encoder = TableEncoder.fit(train, missing="indicator")
        >>> encoder.width, encoder.cardinalities, encoder.encode(train)["numeric"][:, 1].tolist()
        (2, (2,), [0.0, 1.0, 0.0])
        >>> TableEncoder.from_json(encoder.to_json()) == encoder
        True
    """

    numeric: tuple[Feature, ...]
    categorical: tuple[CategoryColumn, ...]
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def fit(
        cls,
        train: Frame,
        *,
        missing: str = "error",
        numeric: str = "standard",
        dates: str = "number",
        text: str = "category",
        least: int = 1,
        constant: str = "keep",
        kinds: Mapping[str, str] | None = None,
    ) -> TableEncoder:
        """Learn medians, means, standard deviations, quantiles and categories.

        Args:
            train: the training rows, features only.
            missing: "error" refuses missing values; "median" fills numbers with the median of the training rows and gives
                missing categories the number 0; "indicator" fills in the median too, and adds a feature that is 1 where a value
                is missing, or a category of its own, for columns in which training rows lack values.
            numeric: "standard" for mean 0 and standard deviation 1; "quantile" for normal scores of the ranks.
            dates: "number" for days, and seconds of times of day; "parts" for sine and cosine of month, weekday, hour and time
                of day too, where they vary.
            text: what becomes of free text: "category" as other text, "hash" for counts of hashed words, "drop".
            least: training rows from which a category has a number of its own; rarer ones share number 0 with those never seen.
            constant: what becomes of columns with the same value in every training row: "keep", or "drop", after which rows
                need not have them; where all columns are so, they are kept.
            kinds: what columns hold, as `TableFile.kinds` says it, where that is known: a column of numbers is taken for
                categories where it says "category", and a column of text for free text only where it says "text".

        Raises:
            ArgumentError: an argument is none of these.
            DataError: missing or infinite values, columns that cannot be turned into numbers, or none left.
        """
        treatment = _treatment(missing, numeric, dates, text, least, constant)
        if missing == "error":
            refuse_missing(train, "training")
        found: dict[str, _Gatherer | None] = {}
        for name in train.columns:
            column = train[name]
            if not column.isna().all():
                gatherer = _gatherer(column, treatment, (kinds or {}).get(name))
                if gatherer is not None:
                    gatherer.add(column, None)
                found[name] = gatherer
        return cls._of(list(train.columns), found, treatment)

    @classmethod
    def fit_chunks(
        cls,
        chunks: Iterable[Frame],
        *,
        missing: str = "error",
        numeric: str = "standard",
        dates: str = "number",
        text: str = "category",
        least: int = 1,
        constant: str = "keep",
        kinds: Mapping[str, str] | None = None,
        sample: int = SAMPLE,
        seed: int = 0,
    ) -> TableEncoder:
        """Learn the same from training rows that come in chunks (of a `TableFile`, say) and need not fit in memory.

        Means, standard deviations, missing values and categories are those of all rows. Medians and quantiles are those of a
        random sample of `sample` rows: of all rows, where there are no more. Then the result is that of `fit`.

        Args:
            chunks: training rows, features only, the same columns in each.
            missing: as for `fit`.
            numeric: as for `fit`.
            dates: as for `fit`.
            text: as for `fit`.
            least: as for `fit`.
            constant: as for `fit`.
            kinds: as for `fit`.
            sample: rows, 1 or more.
            seed: which rows are in the sample.

        Raises:
            ArgumentError: as `fit`.
            DataError: as `fit`, or a chunk has other columns than the first.
        """
        treatment = _treatment(missing, numeric, dates, text, least, constant)
        if sample < 1:
            raise ArgumentError("sample", "1 or more", sample)
        rows = RowSample(sample, seed)
        names: list[str] | None = None
        found: dict[str, _Gatherer | None] = {}
        before = 0
        for chunk in chunks:
            names = list(chunk.columns) if names is None else names
            if list(chunk.columns) != names:
                raise DataError(f"the rows from {before} on have other columns than those before them")
            held = rows.held
            chosen = rows.next(len(chunk))
            for name in names:
                if name not in found and not chunk[name].isna().all():
                    found[name] = _gatherer(chunk[name], treatment, (kinds or {}).get(name), held, before)
                gatherer = found.get(name)
                if gatherer is not None:
                    gatherer.add(chunk[name], chosen)
            before += len(chunk)
        if names is None or not before:
            raise DataError("there are no training rows")
        if missing == "error":
            lacking = {name: found[name].missing if found.get(name) else 0 for name in names}  # type: ignore[union-attr]
            lacking |= {name: before for name in names if name not in found}
            _refuse(lacking, "training")
        return cls._of(names, found, treatment)

    @classmethod
    def _of(cls, names: list[str], found: Mapping[str, _Gatherer | None], treatment: Treatment) -> TableEncoder:
        numeric: list[Feature] = []
        categorical: list[CategoryColumn] = []
        notes: list[str] = []
        left_out: dict[str, str] = {}
        some = treatment.constant == "drop" and any(gatherer is not None and gatherer.varies for gatherer in found.values())
        for name in names:
            gatherer = found.get(name)
            if name not in found:
                left_out[name] = "no training row has a value there"
            elif some and gatherer is not None and not gatherer.varies:
                left_out[name] = "it has the same value in every training row"
            elif gatherer is None:
                left_out[name] = "it holds free text"
            elif isinstance(gatherer, Levels):
                categorical.append(gatherer.finish())
                notes.extend(filter(None, [gatherer.note()]))
            else:
                numeric.append(gatherer.finish())
        if not numeric and not categorical:
            raise DataError("no feature columns are left to learn from")
        notes = [f"column '{name}' was left out: {why}" for name, why in left_out.items()] + notes
        return cls(tuple(numeric), tuple(categorical), tuple(notes), left_out)

    def columns(self) -> list[str]:
        """Names of the columns that are used."""
        return [column.name for column in self.numeric] + [column.name for column in self.categorical]

    @property
    def width(self) -> int:
        """Numbers that a row becomes, without its category numbers."""
        return sum(column.width for column in self.numeric)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Known categories of each categorical column, without number 0."""
        return tuple(column.cardinality for column in self.categorical)

    def encode(self, frame: Frame, *, onehot: bool = False) -> Tensor | Mapping[str, Tensor]:
        """Rows as tensors.

        Missing numbers, dates and times become the training median, and 1 in the indicator where there is one; missing
        categories their own number where training rows lacked some, else 0; categories never seen 0. Numbers as text are
        numbers; text that is an ISO 8601 date, or a time of day, is one.

        Args:
            frame: has all columns; others are ignored.
            onehot: one 0/1 feature a category instead of its number; those of number 0 are 0 everywhere.

        Returns:
            `[N, F]` float32, or, where there are categorical columns and not `onehot`,
            {"numeric": `[N, F]` float32, "categorical": `[N, K]` int64}.

        Raises:
            DataError: a column is not there, or has infinite values, text instead of numbers, or dates instead of numbers, or
                the other way round; the message shows one.
        """
        self._refuse_absent(frame)
        numbers = np.empty((len(frame), self.width), dtype=np.float32)
        start = 0
        for column in self.numeric:
            numbers[:, start : start + column.width] = column.features(frame[column.name])
            start += column.width
        numeric = torch.from_numpy(numbers)
        if not self.categorical:
            return numeric
        codes = [torch.from_numpy(column.encode(frame[column.name])) for column in self.categorical]
        if not onehot:
            return {"numeric": numeric, "categorical": torch.stack(codes, dim=1)}
        ones = [
            torch.nn.functional.one_hot(code, cardinality + 1)[:, 1:].float()
            for code, cardinality in zip(codes, self.cardinalities, strict=True)
        ]
        return torch.cat([numeric, *ones], dim=1)

    def unseen(self, frame: Frame) -> dict[str, int]:
        """Rows by column whose category has no number of its own: never seen in training, or rare there."""
        self._refuse_absent(frame)
        rows = {c.name: int(((c.encode(frame[c.name]) == 0) & frame[c.name].notna()).sum()) for c in self.categorical}
        return {name: count for name, count in rows.items() if count}

    def _refuse_absent(self, frame: Frame) -> None:
        absent = [name for name in self.columns() if name not in frame.columns]
        if absent:
            close = nearest(absent[0], [str(name) for name in frame.columns if name not in self.columns()], most=1)
            hint = f"; should '{close[0]}' be called that?" if close else ""
            others = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
            raise DataError(f"the rows have no column '{absent[0]}'{others}, which the training rows have{hint}")

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values; Python writes and reads floats in JSON without losing a bit."""
        return {
            "version": JSON_VERSION,
            "numeric": [written_column(column) for column in self.numeric],
            "categorical": [written_column(column) for column in self.categorical],
            "notes": list(self.notes),
            "left_out": dict(self.left_out),
        }

    @classmethod
    def from_json(cls, given: Any) -> TableEncoder:
        """The encoder that `to_json` wrote.

        Raises:
            DataError: damaged, or from a newer version.
        """
        if not isinstance(given, Mapping) or given.get("version") != JSON_VERSION:
            raise DataError(f"this is no description of an encoder of version {JSON_VERSION}: fit the model again")
        for key in ("numeric", "categorical", "notes"):
            if not isinstance(given.get(key), list):
                raise DataError(f"the description of an encoder is damaged at '{key}': fit the model again")
        left_out = given.get("left_out", {})  # models of before have none
        if not isinstance(left_out, Mapping):
            raise DataError("the description of an encoder is damaged at 'left_out': fit the model again")
        numeric, categorical = [read_column(item) for item in given["numeric"]], []
        for column in map(read_column, given["categorical"]):
            if not isinstance(column, CategoryColumn):
                raise DataError("the description of an encoder is damaged at 'categorical': fit the model again")
            categorical.append(column)
        features = [column for column in numeric if not isinstance(column, CategoryColumn)]
        if len(features) < len(numeric):
            raise DataError("the description of an encoder is damaged at 'numeric': fit the model again")
        told = {str(name): str(why) for name, why in left_out.items()}
        return cls(tuple(features), tuple(categorical), tuple(map(str, given["notes"])), told)


_Gatherer = Numbers | Levels | Words


def _treatment(missing: str, numeric: str, dates: str, text: str, least: int, constant: str) -> Treatment:
    given = {
        "missing": (missing, MISSING), "numeric": (numeric, NUMERIC), "dates": (dates, DATES), "text": (text, TEXT),
        "constant": (constant, CONSTANT),
    }  # fmt: skip
    for name, (value, known) in given.items():
        if value not in known:
            *first, last = map(repr, known)
            raise ArgumentError(name, f"{', '.join(first)} or {last}", repr(value))
    if least < 1:
        raise ArgumentError("least", "1 or more", least)
    return Treatment(missing, numeric, dates, text, least, constant)


def _gatherer(column: Any, treatment: Treatment, kind: str | None, held: int = 0, missing: int = 0) -> _Gatherer | None:
    """What learns about a column of which `missing` rows without a value went past; None for one that is left out."""
    name = str(column.name)
    if kind not in ("category", "text") and is_numeric(column):
        nature = "date" if is_dates(column) else "time" if is_times(column) else "number"
        return Numbers(column.name, treatment, held=held, missing=missing, nature=nature)
    if treatment.text != "category" and (kind == "text" or (kind is None and looks_free(column))):
        return Words(name, treatment, TEXT_WIDTH, missing=missing) if treatment.text == "hash" else None
    is_numeric(column)  # refuses what is no category either
    return Levels(column.name, treatment, missing=missing)


def refuse_missing(frame: Frame, which: str) -> None:
    """Refuse missing values.

    Raises:
        DataError: names the first column with such values, how many there are, and the way out.
    """
    _refuse({name: int(count) for name, count in frame.isna().sum().items()}, which)


def _refuse(missing: Mapping[str, int], which: str) -> None:
    lacking = {name: count for name, count in missing.items() if count}
    if lacking:
        name, count = next(iter(lacking.items()))
        others = f" (and {len(lacking) - 1} more columns)" if len(lacking) > 1 else ""
        raise DataError(
            f"column '{name}'{others} has {count} missing values (NaN) in the {which} rows: fill or remove them, or use "
            "--missing median (in Python missing='median')"
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
