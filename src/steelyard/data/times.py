"""Times of day: how they are written as text, and what they are as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.core.errors import DataError

DAY = 86_400.0
"""Seconds of a day."""
DTYPE = "time64[us][pyarrow]"
"""Type that times of day have in memory: pandas has none of its own, and objects of Python's would be slow."""
CLOCK, CLOCK_12 = "time of day", "time of day with am or pm"
"""`13:45`, also with seconds and fractions of them; `1:45 pm`."""

_TEXT = {
    CLOCK: r"(?P<h>[01]?\d|2[0-3]):(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d(?:[.,]\d{1,9})?))?(?P<half>)",
    CLOCK_12: r"(?P<h>0?[1-9]|1[0-2]):(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d(?:[.,]\d{1,9})?))? ?(?P<half>[AaPp])\.?[Mm]\.?",
}


def parse_times(values: Any, how: str) -> Any:
    """Text as times of day, missing where it is missing or is no such time.

    Args:
        values: a pandas Series of text.
        how: `CLOCK` or `CLOCK_12`.

    Example:
        >>> import pandas as pd
        >>> parse_times(pd.Series(["13:45", "7:05:30", "soon"]), CLOCK).tolist()
        [datetime.time(13, 45), datetime.time(7, 5, 30), <NA>]
        >>> parse_times(pd.Series(["12:00 am", "1:45 PM"]), CLOCK_12).tolist()
        [datetime.time(0, 0), datetime.time(13, 45)]
    """
    import pandas as pd

    codes, distinct = pd.factorize(values)  # each different text is looked at once
    found = pd.Series(distinct, dtype="str").str.strip().str.extract(f"^(?:{_TEXT[how]})$")
    hours, minutes = (pd.to_numeric(found[part], errors="coerce") for part in ("h", "m"))
    seconds = pd.to_numeric(found["s"].str.replace(",", "."), errors="coerce").fillna(0.0)
    half = found["half"].str.lower()
    hours = hours.where(half.ne("a") & half.ne("p"), hours % 12 + np.where(half.eq("p"), 12, 0))
    total = ((hours * 60 + minutes) * 60 + seconds).to_numpy(dtype=np.float64, na_value=np.nan)
    return _of_seconds(np.append(total, np.nan)[codes], values.index)


def read_times(values: Any) -> Any:
    """Text as times of day, each as it is written, which is never mistaken; missing where it is no time of day.

    Example:
        >>> import pandas as pd
        >>> read_times(pd.Series(["13:45", "1:45 pm"])).tolist()
        [datetime.time(13, 45), datetime.time(13, 45)]
    """
    found = parse_times(values, CLOCK)
    return found.where(found.notna(), parse_times(values, CLOCK_12)) if (found.isna() & values.notna()).any() else found


class TimeFormats:
    """The ways of writing a time of day that fit all values so far.

    Example:
        >>> import pandas as pd
        >>> formats = TimeFormats()
        >>> formats.add(pd.Series(["13:45", "07:05:30"]))
        >>> formats.left
        ('time of day',)
        >>> formats.add(pd.Series(["25:10"]))
        >>> formats.left
        ()
    """

    def __init__(self) -> None:
        self.left: tuple[str, ...] = (CLOCK, CLOCK_12)

    def add(self, values: Any) -> None:
        """Look at further values: a pandas Series of text without missing ones."""
        if self.left and len(values) and ":" not in str(values.iloc[0]):
            self.left = ()
        text = values.str.strip() if self.left else values
        self.left = tuple(how for how in self.left if bool(text.str.fullmatch(_TEXT[how]).all()))


def is_times(column: Any) -> bool:
    """Does the column hold times of day, by its type or by its objects?

    Example:
        >>> import datetime
        >>> import pandas as pd
        >>> is_times(pd.Series([datetime.time(13, 45), None])), is_times(pd.Series(["13:45"]))
        (True, False)
    """
    import pandas as pd

    if isinstance(column.dtype, pd.ArrowDtype):
        import pyarrow as pa

        return bool(pa.types.is_time(column.dtype.pyarrow_dtype))
    return bool(column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "time")


def as_times(column: Any) -> Any:
    """Times of day of any type (see `is_times`) in the type `DTYPE`."""
    import pandas as pd

    if str(column.dtype) == DTYPE:
        return column
    if isinstance(column.dtype, pd.ArrowDtype):
        return _of_seconds(_arrow_seconds(column), column.index)
    naive = column.map(lambda time: time.replace(tzinfo=None), na_action="ignore")
    return naive.astype(DTYPE)


def as_seconds(column: Any, name: str) -> np.ndarray:
    """Times of day as seconds since midnight, float64 `[N]`, NaN where missing; text is read as one is written.

    Raises:
        DataError: something else; it is shown.

    Example:
        >>> import pandas as pd
        >>> as_seconds(pd.Series(["00:01", None, "13:45:07.5"]), "at").tolist()
        [60.0, nan, 49507.5]
    """
    from steelyard.data.kinds import as_written

    if column.isna().all():
        return np.full(len(column), np.nan)
    if is_times(column):
        return _arrow_seconds(as_times(column))
    if column.dtype.kind in "biufmM":
        raise _no_times(name, column, column.notna())
    text = as_written(column)
    found = read_times(text)
    wrong = found.isna() & column.notna()
    if wrong.any():
        raise _no_times(name, column, wrong)
    return _arrow_seconds(found)


def _arrow_seconds(column: Any) -> np.ndarray:
    import pyarrow as pa

    values = pa.array(column)
    wide = pa.time64("ns")
    whole = values.cast(wide).cast(pa.int64())
    return np.asarray(whole.to_numpy(zero_copy_only=False), dtype=np.float64) / 1e9


def _of_seconds(seconds: np.ndarray, index: Any) -> Any:
    """Seconds since midnight `[N]`, NaN where missing, as a pandas Series of the type `DTYPE`."""
    import pandas as pd
    import pyarrow as pa

    missing = np.isnan(seconds)
    micro = np.minimum(np.round(np.where(missing, 0.0, seconds) * 1e6), DAY * 1e6 - 1).astype(np.int64)
    held = pa.array(micro, mask=missing).cast(pa.time64("us"))
    return pd.Series(pd.arrays.ArrowExtensionArray(held), index=index)


def _no_times(name: str, column: Any, wrong: Any) -> DataError:
    example = str(column[wrong].iloc[0])
    return DataError(f"column '{name}' has something else where the training rows have times of day, such as {example!r}")
