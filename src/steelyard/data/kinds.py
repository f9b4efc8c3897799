"""What a column of a table file holds, how it is written there, and how what is written becomes values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from steelyard.core.errors import DataError
from steelyard.data.dates import ISO, parse_dates
from steelyard.data.numerals import Numeral
from steelyard.data.times import as_times, is_times, read_times

KINDS = ("number", "boolean", "date", "time", "category", "text")

PLAIN, COMMA, MARKS, WORDS = "plain", "decimal comma", "question mark", "yes or no"
"""How values are written: as pandas reads them; `1,5`; some of `UNKNOWN`; a pair of words. Dates and times of day have their
format instead, and numbers such as `1.234,56` or `€ 5,00` what stands for a `Numeral`."""

UNKNOWN = ("?", "-", "--", ".", "*", "n.a.", "N.A.", "na")
"""What stands for a missing value among numbers, beside what pandas takes for one everywhere."""

PAIRS = (("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"), ("off", "on"))
"""Words for truth values, whatever their case."""
TRUTHS = {word: i == 1 for pair in PAIRS for i, word in enumerate(pair)} | {"0": False, "1": True, "0.0": False, "1.0": True}

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
NUMBER_WITH_COMMA = r"[+-]?\d*,?\d+(?:[eE][+-]?\d+)?"
NUMBER_IN_THOUSANDS = r"[+-]?\d{1,3}(?:[.,'\u2019 \u00a0\u202f]\d{3})+(?:[.,]\d+)?"

FREE_WORDS, FREE_LENGTH, FREE_VALUES, FREE_SHARE = 3.0, 40.0, 50, 0.2
"""Text is free text rather than a name of something from 3 words or 40 characters a value on, with 50 or more different values
that are at least a fifth of the values."""


@dataclass(frozen=True)
class Column:
    """A column of a table file.

    Attributes:
        name: as in the header.
        kind: one of `KINDS`.
        dtype: of its values in every chunk.
        written: how it is written in the file: one of `PLAIN`, `COMMA`, `MARKS`, `WORDS`, the format of its dates or times, or
            the text of its `Numeral`.
        missing: rows without a value.
    """

    name: str
    kind: str
    dtype: str
    written: str = PLAIN
    missing: int = 0

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Column:
        """The column that `to_json` wrote.

        Raises:
            DataError: that is no such column.
        """
        if not isinstance(given, Mapping):
            raise DataError("the description of a column is damaged: make it again")
        types = {"name": str, "kind": str, "dtype": str, "written": str, "missing": int}
        wrong = [item.name for item in fields(cls) if not isinstance(given.get(item.name), types[item.name])]
        if wrong or given["kind"] not in KINDS:
            raise DataError(f"the description of a column is damaged at '{wrong[0] if wrong else 'kind'}': make it again")
        return cls(**{item.name: given[item.name] for item in fields(cls)})

    def loosened(self) -> Column:
        """The same with a type that has room for missing values, which other files may have."""
        return replace(self, dtype={"number": "float64", "boolean": "boolean"}.get(self.kind, self.dtype))

    @property
    def is_text_in_file(self) -> bool:
        """Must it be read as it is written, to be understood afterwards?"""
        return self.written != PLAIN or self.dtype == "str"


def is_free_text(words: float, length: float, distinct: int, rows: int) -> bool:
    """Is text, by its mean number of words and characters and its different values, made of sentences?

    Example:
        >>> is_free_text(7.5, 42, 900, 1000), is_free_text(1.2, 8, 900, 1000), is_free_text(4, 30, 12, 1000)
        (True, False, False)
    """
    return (words >= FREE_WORDS or length >= FREE_LENGTH) and distinct >= FREE_VALUES and distinct >= FREE_SHARE * rows


def as_written(column: Any) -> Any:
    """Values of any type as a Series of text, missing ones still missing.

    Example:
        >>> import pandas as pd
        >>> as_written(pd.Series([1.0, 2.5])).tolist()
        ['1', '2.5']
    """
    import pandas as pd

    from steelyard.data.labels import label_name

    if isinstance(column.dtype, pd.StringDtype):
        return column.astype("str")
    if isinstance(column.dtype, pd.CategoricalDtype):
        names = [label_name(value) for value in column.cat.categories]
        return column.cat.rename_categories(range(len(names))).map(dict(enumerate(names))).astype("str")
    return column.astype(object).map(label_name, na_action="ignore").astype("str")


def as_kind(column: Any, known: Column, *, comma: bool = False) -> Any:
    """The values of a column of any file as those of the column that is known.

    Args:
        column: a pandas Series, of text where the column is not written plainly.
        known: what its values should become.
        comma: do numbers that are text have a decimal comma in this file, however they were written in the first?

    Raises:
        DataError: a value that cannot become one; it is shown.
    """
    if known.kind in ("category", "text"):
        return as_written(column)
    if known.kind == "number":
        values = _numbers(column, known, comma=comma or known.written == COMMA)
    else:
        values = {"date": _dates, "time": _times, "boolean": _truths}[known.kind](column, known)
    return values if str(values.dtype) == known.dtype else values.astype(known.dtype)


def as_known(frame: Any, schema: Mapping[str, Mapping[str, Any]]) -> Any:
    """A DataFrame whose text is read as the file was that a model learnt from; what is no text there stays as it is.

    Args:
        frame: a pandas DataFrame.
        schema: of that file (`TableFile.schema`).

    Raises:
        DataError: a value that cannot become one of its column; it is shown.

    Example:
        >>> import pandas as pd
        >>> schema = {"when": Column("when", "date", "datetime64[us]", "%d.%m.%Y").to_json()}
        >>> as_known(pd.DataFrame({"when": ["31.12.2024"]}), schema)["when"].dt.day.tolist()
        [31]
    """
    import pandas as pd

    read = {}
    for name, given in schema.items():
        if given["kind"] in ("category", "text") or name not in frame.columns:
            continue
        column = frame[name]
        if column.dtype == object or isinstance(column.dtype, pd.StringDtype | pd.CategoricalDtype):
            read[name] = as_kind(column, Column.from_json(given).loosened())
    return frame.assign(**read) if read else frame


def _numbers(column: Any, known: Column, *, comma: bool) -> Any:
    import pandas as pd

    kind = column.dtype.kind if not isinstance(column.dtype, pd.CategoricalDtype) else "O"
    inferred = pd.api.types.infer_dtype(column, skipna=True) if kind == "O" else ""
    if kind == "m" or inferred == "timedelta":
        return pd.to_timedelta(column) / pd.Timedelta(days=1)
    if kind in "biuf":
        return _nullable(column)
    if kind == "M" or inferred == "time":
        what = "dates" if kind == "M" else "times of day"
        raise _refused(column, column.notna(), known, f"{what} where there should be numbers")
    text, numeral = column, None
    if inferred not in ("decimal", "integer", "mixed-integer-float", "boolean"):
        text = as_written(column)
        text = text.mask(text.str.strip().isin(UNKNOWN), None)
        numeral = Numeral.of(known.written)
        if comma and numeral is None:
            text = text.str.replace(",", ".")
    values = pd.to_numeric(text, errors="coerce") if numeral is None else numeral.numbers(text)
    if pd.api.types.is_extension_array_dtype(values.dtype) or values.dtype == object:
        values = _nullable(values)
    wrong = values.isna() & text.notna()
    if wrong.any():
        like = f"values that are not written as the training rows' numbers are ({numeral})"
        raise _refused(column, wrong, known, "text where there should be numbers" if numeral is None else like)
    return values


def _nullable(values: Any) -> Any:
    import numpy as np
    import pandas as pd

    if isinstance(values.dtype, np.dtype) and values.dtype != object:
        return values
    if not values.isna().any() and pd.api.types.is_integer_dtype(values.dtype):
        return values.astype("int64")
    return pd.Series(values.to_numpy(dtype=np.float64, na_value=np.nan), index=values.index)


def _truths(column: Any, known: Column) -> Any:
    values = column
    if not _is_bool(column):
        words = as_written(column).str.lower()
        values = words.map(TRUTHS).astype("boolean")
        wrong = values.isna() & words.notna()
        if wrong.any():
            raise _refused(column, wrong, known, "values other than the training rows' truth values")
    return values.astype("boolean")


def _dates(column: Any, known: Column) -> Any:
    import pandas as pd

    if column.dtype.kind == "M" or isinstance(column.dtype, pd.DatetimeTZDtype):
        values = column
    elif pd.api.types.infer_dtype(column, skipna=True) in ("date", "datetime"):
        values = pd.to_datetime(column).dt.as_unit("us")
    else:
        text = as_written(column)
        values = parse_dates(text, ISO if known.written == PLAIN else known.written)
        if known.written not in (ISO, PLAIN) and (values.isna() & text.notna()).any():
            values = values.where(values.notna(), parse_dates(text, ISO))  # never mistaken for anything else
        wrong = values.isna() & text.notna()
        if wrong.any():
            raise _refused(column, wrong, known, f"values that are no dates as the training rows have them ({known.written})")
    if isinstance(values.dtype, pd.DatetimeTZDtype) and "," not in known.dtype:
        return values.dt.tz_convert(None)
    if values.dtype.kind == "M" and not isinstance(values.dtype, pd.DatetimeTZDtype) and "," in known.dtype:
        return values.dt.tz_localize("UTC")
    return values


def _times(column: Any, known: Column) -> Any:
    if is_times(column):
        return as_times(column)
    text = as_written(column)
    values = read_times(text)
    wrong = values.isna() & text.notna()
    if wrong.any():
        raise _refused(column, wrong, known, "values that are no times of day as the training rows have them (13:45)")
    return values


def _is_bool(column: Any) -> bool:
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        return False
    if column.dtype == object:
        return bool(pd.api.types.infer_dtype(column, skipna=True) == "boolean")
    return bool(pd.api.types.is_bool_dtype(column.dtype))


def _refused(column: Any, wrong: Any, known: Column, what: str) -> DataError:
    example = column[wrong].iloc[0] if wrong.dtype == bool else column.iloc[0]
    return DataError(f"column '{known.name}' has {what}, such as {str(example)!r}: correct such values, or leave them empty")
