"""Numbers that are written with marks between thousands, a currency sign or a percent sign: `1.234,56`, `€ 5,00`, `12 %`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_BLANKS, _APOSTROPHES = " \u00a0\u202f\u2009", "'\u2019"
_GROUPS = {".": r"\.", ",": ",", " ": f"[{_BLANKS}]", "'": f"[{_APOSTROPHES}]"}
_DECIMALS = {".": r"\.", ",": ","}
_UNIT = "[$%\u2030\u00a2-\u00a5\u20a0-\u20cf]"
_SIGN = "[+\u2212-]"
_AFFIXES = re.compile(_UNIT)


@dataclass(frozen=True)
class Numeral:
    """A way of writing numbers.

    Attributes:
        decimal: the mark before decimals: "." or ",".
        group: the mark between thousands: ".", ",", " " (any blank) or "'" (any apostrophe).
        unit: the sign that every number has before or after it, such as "€" or "%"; empty where there is none.

    Example:
        >>> import pandas as pd
        >>> Numeral(",", ".", "€").numbers(pd.Series(["€ 1.234,56", "-5 €", "12"])).tolist()
        [1234.56, -5.0, nan]
    """

    decimal: str
    group: str
    unit: str = ""

    def __str__(self) -> str:
        return f"1{self.group}234{self.decimal}56{' ' if self.unit else ''}{self.unit}"

    @classmethod
    def of(cls, text: str) -> Numeral | None:
        """The way that `str` described; None where the text is no such description."""
        found = re.fullmatch(rf"1([., '])234([.,])56(?: ({_UNIT}))?", text)
        if found is None or found[1] == found[2]:
            return None
        return cls(found[2], found[1], found[3] or "")

    @cached_property
    def pattern(self) -> str:
        """What a number looks like, sign and unit included."""
        group, decimal = _GROUPS[self.group], _DECIMALS[self.decimal]
        digits = rf"(?:[1-9]\d{{0,2}}(?:{group}\d{{3}})+|\d+)(?:{decimal}\d+)?"
        if not self.unit:
            return f"{_SIGN}?{digits}"
        unit, blank = re.escape(self.unit), f"[{_BLANKS}]?"
        return f"(?:{_SIGN}?{unit}{blank}{digits}|{unit}{blank}{_SIGN}{digits}|{_SIGN}?{digits}{blank}{unit})"

    def numbers(self, values: Any) -> Any:
        """Text as float64, NaN where it is missing or not written so; a percentage is the number before its sign."""
        import pandas as pd

        text = values.str.strip()
        fits = text.str.fullmatch(self.pattern).fillna(False).astype(bool)
        bare = text.where(fits).str.replace(rf"{_GROUPS[self.group]}|{_UNIT}|[{_BLANKS}]", "", regex=True)
        plain = bare.str.replace("\u2212", "-").str.replace(self.decimal, ".")
        return pd.to_numeric(plain, errors="coerce").astype("float64")


class Numerals:
    """The ways of writing numbers that fit all values so far, and whether they can be told apart.

    A column is taken for numbers only where one reading is left: `1,234` alone could be either of two. Without a unit, a mark
    between thousands and a mark before decimals must both have come up, so that lists of codes (`1,5`) stay text.

    Args:
        decimal: the mark before decimals that is taken where no number has any.

    Example:
        >>> import pandas as pd
        >>> numerals = Numerals()
        >>> numerals.add(pd.Series(["1.234"]))
        >>> numerals.found is None
        True
        >>> numerals.add(pd.Series(["56,7"]))
        >>> str(numerals.found)
        '1.234,56'
    """

    def __init__(self, decimal: str = ".") -> None:
        self._unit: str | None = None
        order = sorted(_DECIMALS, key=lambda mark: mark != decimal)
        self._left = [(mark, group) for mark in order for group in _GROUPS if mark != group]
        self._seen: set[str] = set()

    def add(self, values: Any) -> None:
        """Look at further values: a pandas Series of text without missing ones."""
        if not self._left or not len(values):
            return
        first = str(values.iloc[0]).strip()
        if not any(mark.isdigit() for mark in first[:4]):
            self._left = []
            return
        if self._unit is None:
            sign = _AFFIXES.search(first)
            self._unit = sign[0] if sign else ""
        text = values.str.strip()
        self._left = [way for way in self._left if self._fits(text, way)]
        if self._left:
            new = {mark: how for mark, how in _GROUPS.items() if mark not in self._seen}
            self._seen |= {mark for mark, how in new.items() if text.str.contains(rf"\d{how}\d").any()}

    @property
    def found(self) -> Numeral | None:
        """The only reading; None where there is none, or several."""
        decimals = {decimal for decimal, _ in self._left}
        marks = self._seen & {*_DECIMALS}
        if not decimals or self._unit is None or (len(decimals) > 1 and marks):
            return None
        left = [way for way in self._left if way[1] in self._seen] or self._left
        decimal, group = left[0]
        if not self._unit and not {decimal, group} <= self._seen:
            return None
        return Numeral(decimal, group, self._unit)

    def _fits(self, text: Any, way: tuple[str, str]) -> bool:
        return bool(text.str.fullmatch(Numeral(*way, self._unit or "").pattern).all())
