"""What a column of a file holds, found from its chunks in one pass and in memory that does not grow with the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.data.dates import DateFormats
from steelyard.data.distinct import Distinct
from steelyard.data.kinds import (
    COMMA,
    MARKS,
    NUMBER,
    NUMBER_IN_THOUSANDS,
    NUMBER_WITH_COMMA,
    PAIRS,
    PLAIN,
    UNKNOWN,
    WORDS,
    Column,
    is_free_text,
)  # fmt: skip
from steelyard.data.numerals import Numerals
from steelyard.data.tabular import RUNNING_ROWS, is_identifiers_name
from steelyard.data.times import DTYPE, TimeFormats, is_times

HASHES = 1 << 25
"""Hashes that all columns of a file together keep, to tell whether values repeat: 256 MiB."""
MOST_HASHES, FEWEST_HASHES = 1 << 24, 1 << 16
"""Hashes of one column without repetition at most, and at least, or where something repeats already."""
SMALL = 64
"""Different values up to which all are remembered."""


class Impression:
    """What is known of one column so far.

    Args:
        name: the column's.
        separator: of the file: with semicolons, numbers may have a decimal comma.
        typed: the file says what is text, as Parquet does, so that digits in text are no numbers.
        verbatim: the target, whose values are taken as they are: no dates, no yes and no.

    Attributes:
        natures: what the chunks held, as pandas read them: "whole", "number", "truth", "date", "time", "text".
        rows: so far.
        missing: of them.
        distinct: its different whole numbers or texts.
    """

    def __init__(self, name: str, *, separator: str = ",", typed: bool = False, verbatim: bool = False) -> None:
        self.name, self._separator, self._typed, self._verbatim = name, separator, typed, verbatim
        self.natures: set[str] = set()
        self.dtypes: set[str] = set()
        self.rows = self.missing = 0
        self.distinct = Distinct(MOST_HASHES)
        self._running, self._same, self._first = True, True, None
        self._last: int | None = None
        self._words = self._length = 0
        self._small: set[str] | None = set()
        self._dates, self._times, self._numerals = DateFormats(), TimeFormats(), Numerals("," if separator == ";" else ".")
        self._numbers = {PLAIN: True, COMMA: separator == ";", MARKS: True, "thousands": True}
        self._marks: set[str] = set()
        self._comma = self._thousands = False

    @property
    def mixed(self) -> bool:
        """Did some chunks hold text, dates or truth values and others something else, so that they were read differently?"""
        return len(self.natures - {"number"} if "whole" in self.natures else self.natures) > 1

    @property
    def unrepeated(self) -> bool:
        """May it still name a row?"""
        return self.natures in ({"whole"}, {"text"}) and not self.distinct.repeats

    def add(self, column: Any) -> None:
        """Take in a chunk: a pandas Series.

        Raises:
            DataError: neither numbers, truth values, dates, times nor text.
        """
        known = _known(column)
        self.rows, self.missing = self.rows + len(column), self.missing + len(column) - len(known)
        self.dtypes.add(str(column.dtype))
        if not len(known):
            return
        nature = nature_of(known)
        self.natures.add(nature)
        if nature == "text":
            self._add_text(known)
            return
        values = known.to_numpy()
        if self._first is None:
            self._first = values[0]
        self._same = self._same and bool((values == self._first).all())
        if nature == "whole":
            self._add_whole(values.astype(np.uint64 if values.dtype.kind == "u" else np.int64))

    def _add_whole(self, values: np.ndarray) -> None:
        if self._running:
            follows = self._last is None or int(values[0]) == self._last + 1
            self._running = follows and bool((values[1:] - values[:-1] == 1).all())
            self._last = int(values[-1])
        if not self.distinct.repeats:
            self.distinct.add(values)

    def _add_text(self, known: Any) -> None:
        from steelyard.data.kinds import as_written

        counted = as_written(known).value_counts(sort=False)
        values, counts = counted.index.to_series().reset_index(drop=True).astype("str"), counted.to_numpy()
        if len(values) < len(known):
            self.distinct.repeats = True
        self.distinct.add(values)
        if self.distinct.repeats:
            self.distinct.limit = FEWEST_HASHES
        self._length += int((values.str.len().to_numpy() * counts).sum())
        self._words += int((values.str.count(r"\S+").to_numpy() * counts).sum())
        if self._small is not None:
            self._small |= set(values.iloc[: SMALL + 1])
            self._small = self._small if len(self._small) <= SMALL else None
        if not self._verbatim:
            self._dates.add(values)
            self._times.add(values)
            if not self._typed:
                self._try_numbers(values)

    def _try_numbers(self, values: Any) -> None:
        marks = values.isin(UNKNOWN)
        others = values[~marks]
        self._marks |= set(values[marks])
        self._numerals.add(others)
        if not any(self._numbers.values()):
            return
        plain = others.str.fullmatch(NUMBER).astype(bool)
        comma = others.str.fullmatch(NUMBER_WITH_COMMA).astype(bool)
        thousands = others.str.fullmatch(NUMBER_IN_THOUSANDS).astype(bool)
        self._comma |= bool(others.str.contains(",").any())
        self._thousands |= bool(thousands.any())
        fits = {PLAIN: plain, MARKS: plain, COMMA: comma, "thousands": thousands | plain | comma}
        for how, fitting in fits.items():
            self._numbers[how] = self._numbers[how] and bool(fitting.all())

    def column(self) -> Column:
        """What the column is, after the last chunk."""
        kind, dtype, written = self._decide()
        return Column(self.name, kind, dtype, written, self.missing)

    def _decide(self) -> tuple[str, str, str]:
        if "text" in self.natures:
            return self._decide_text()
        if self.natures == {"truth"}:
            return "boolean", "boolean" if self.missing else "bool", PLAIN
        if self.natures == {"date"}:
            only = next(iter(self.dtypes)) if len(self.dtypes) == 1 else ""
            return "date", only if only.startswith("datetime64") else "datetime64[us]", PLAIN
        if self.natures == {"time"}:
            return "time", DTYPE, PLAIN
        dtype = next(iter(self.dtypes)) if len(self.dtypes) == 1 else "float64"
        plain = np.dtype(dtype) if dtype in ("uint64", "int64") or dtype[:3] in ("int", "uin", "flo") else None
        if plain is None or (self.missing and plain.kind in "iu"):
            dtype = "float64"
        return "number", dtype, PLAIN

    def _decide_text(self) -> tuple[str, str, str]:
        if not self._verbatim and not self._typed:
            if self._numbers[COMMA] and self._comma:
                return "number", "float64", COMMA
            if self._numbers[MARKS] and self._marks and not self._only(self._marks):
                return "number", "float64", MARKS
            if self._numerals.found is not None:
                return "number", "float64", str(self._numerals.found)
        if not self._verbatim:
            pair = next((pair for pair in PAIRS if self._is_pair(pair)), None)
            if pair is not None:
                return "boolean", "boolean" if self.missing else "bool", WORDS
            if self._dates.left:
                return "date", "datetime64[us]", self._dates.left[0]
            if self._times.left:
                return "time", DTYPE, self._times.left[0]
        known = self.rows - self.missing
        free = is_free_text(self._words / known, self._length / known, self.distinct.count, known)
        return "text" if free and not self._verbatim else "category", "str", PLAIN

    def _only(self, values: set[str]) -> bool:
        return self._small is not None and self._small <= values

    def _is_pair(self, pair: tuple[str, str]) -> bool:
        return self._small is not None and {value.lower() for value in self._small} == set(pair)

    def identifier(self) -> str:
        """Why the column names a row instead of describing it; empty where it does not (see `tabular.identifiers`)."""
        whole = self.natures == {"whole"} and not self.missing
        kind = self._decide()[0] if self.natures == {"text"} else ""
        if not (whole or kind in ("category", "text")) or self.missing or not self.distinct.unique():
            return ""
        share = f" among the 1 in {2**self.distinct.bits:,} that were compared" if self.distinct.bits else ""
        if is_identifiers_name(self.name, self.rows):
            return f"a different value in every row{share}, and a name like an identifier"
        if kind == "category" and self.rows >= RUNNING_ROWS:
            return f"a different text in every row{share}"
        return "a running number" if whole and self._running and self.rows >= RUNNING_ROWS else ""

    def note(self) -> str:
        """What a user should know about the column; empty where there is nothing."""
        name = f"column '{self.name}'"
        if self.missing == self.rows:
            return f"{name} has no values"
        same = self._same if "text" not in self.natures else self.distinct.count == 1
        return self.told() or (f"{name} has the same value in every row" if same and not self.missing else "")

    def told(self) -> str:
        """What a user should know about how text was understood; empty where there is nothing."""
        if "text" not in self.natures:
            return ""
        name, written = f"column '{self.name}'", self._decide()[2]
        if written == MARKS:
            return f"{name} has numbers and {self._marked()}"
        if self._dates.left and written in self._dates.left and self._dates.ambiguous:
            return f"{name} has dates that could begin with the day or with the month in every row; they were read as {written}"
        if not self._typed and not self._verbatim and written == str(self._numerals.found):
            marks = f", and {self._marked()}" if self._marks else ""
            return f"{name} has text written like {written}, which was read as numbers{marks}"
        if written != COMMA and self._only_numbers():
            return (
                f"{name} has numbers with marks that could be those of thousands or of decimals, which were left as text: "
                "remove those of thousands"
            )
        return ""

    def _marked(self) -> str:
        return f"{' and '.join(map(repr, sorted(self._marks)))}, taken for missing values"

    def _only_numbers(self) -> bool:
        return not self._typed and not self._verbatim and self._numbers["thousands"] and self._thousands


def _known(column: Any) -> Any:
    """The column without missing values; of plain numbers nothing is copied where none are missing."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        values = column.to_numpy()
        if values.dtype.kind != "f" or not np.isnan(values).any():
            return column
    return column.dropna()


def nature_of(known: Any) -> str:
    """What pandas found a column without missing values to be: "whole", "number", "truth", "date", "time" or "text".

    Raises:
        DataError: bytes, lists and other things that are none of these.

    Example:
        >>> import pandas as pd
        >>> [nature_of(pd.Series(values)) for values in ([1, 2], [0.5], [True], ["a"])]
        ['whole', 'number', 'truth', 'text']
    """
    import pandas as pd

    kinds = pd.api.types
    if isinstance(known.dtype, (pd.CategoricalDtype, pd.StringDtype)):
        return "text"
    if known.dtype.kind == "M" or isinstance(known.dtype, pd.DatetimeTZDtype):
        return "date"
    if is_times(known):
        return "time"
    if kinds.is_bool_dtype(known.dtype):
        return "truth"
    if kinds.is_integer_dtype(known.dtype):
        return "whole"
    if (kinds.is_numeric_dtype(known.dtype) and not kinds.is_complex_dtype(known.dtype)) or known.dtype.kind == "m":
        return "number"
    names = {
        "boolean": "truth", "string": "text", "mixed-integer": "text", "date": "date", "datetime": "date",
        "timedelta": "number", "integer": "number", "floating": "number", "decimal": "number", "mixed-integer-float": "number",
    }  # fmt: skip
    inferred = kinds.infer_dtype(known, skipna=True)
    if inferred not in names:
        example = type(known.iloc[0]).__name__
        raise DataError(
            f"column '{known.name}' holds {example} values, which are neither numbers nor categories: leave it out with --drop "
            "(in Python drop=...)"
        )
    return names[inferred]
