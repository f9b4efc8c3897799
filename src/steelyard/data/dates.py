"""Dates that are written as text: which way of writing fits every value of a column."""

from __future__ import annotations

import datetime
import re
from typing import Any

ISO = "ISO 8601"
"""`2024-03-31`, also with `T12:30`, seconds, fractions and an offset from UTC; offsets are turned into UTC."""
_ISO_TEXT = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?(?:Z|[+-]\d{2}:?\d{2}))?)?"

_DAYS = (
    *("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y", "%d/%m/%y", "%d-%m-%y"),
    *("%m/%d/%Y", "%m-%d-%Y", "%m.%d.%Y", "%m/%d/%y", "%m-%d-%y"),
    *("%Y/%m/%d", "%Y-%m-%d", "%Y.%m.%d", "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
FORMATS = (ISO, *(day + time for day in _DAYS for time in _TIMES))
"""Ways of writing a date that are recognised; where several fit every row, the first is taken."""

_LOOK = 50
"""Values on which all formats are tried, before those that are left are tried on every value."""
_MAYBE = re.compile(r"^\d{1,4}[-./ ].*\d|^[A-Za-z]{3,9} \d")


def parse_dates(values: Any, how: str) -> Any:
    """Text as `datetime64[us]`, missing where it is missing or is no such date.

    Args:
        values: a pandas Series of text.
        how: one of `FORMATS`.

    Example:
        >>> import pandas as pd
        >>> parse_dates(pd.Series(["31.12.2024", "no date"]), "%d.%m.%Y").dt.year.tolist()
        [2024.0, nan]
    """
    import pandas as pd

    if how == ISO:
        fits = values.str.fullmatch(_ISO_TEXT).fillna(False).astype(bool)
        read = pd.to_datetime(values.where(fits), format="ISO8601", utc=True, errors="coerce").dt.tz_localize(None)
    else:
        read = pd.to_datetime(values, format=how, errors="coerce")
    return read.dt.as_unit("us")


class DateFormats:
    """The ways of writing a date that fit all values so far.

    Example:
        >>> import pandas as pd
        >>> formats = DateFormats()
        >>> formats.add(pd.Series(["01/02/2024"]))
        >>> formats.left, formats.ambiguous
        (('%d/%m/%Y', '%m/%d/%Y'), True)
        >>> formats.add(pd.Series(["31/01/2024"]))
        >>> formats.left
        ('%d/%m/%Y',)
    """

    def __init__(self) -> None:
        self.left: tuple[str, ...] = FORMATS

    def add(self, values: Any) -> None:
        """Look at further values: a pandas Series of text without missing ones."""
        if not self.left or not len(values):
            return
        if not _MAYBE.match(str(values.iloc[0])):
            self.left = ()
            return
        if len(self.left) > 2:
            self.left = tuple(how for how in self.left if _reads(str(values.iloc[0]), how))
            self.left = tuple(how for how in self.left if self._fits(values.iloc[:_LOOK], how))
        self.left = tuple(how for how in self.left if self._fits(values, how))

    @property
    def ambiguous(self) -> bool:
        """Do both the day and the month come first in some of them?"""
        return any(how.startswith("%d") for how in self.left) and any(how.startswith("%m") for how in self.left)

    @staticmethod
    def _fits(values: Any, how: str) -> bool:
        return bool(parse_dates(values, how).notna().all())


def _reads(text: str, how: str) -> bool:
    if how == ISO:
        return re.fullmatch(_ISO_TEXT, text) is not None
    try:
        datetime.datetime.strptime(text, how)
    except ValueError:
        return False
    return True
