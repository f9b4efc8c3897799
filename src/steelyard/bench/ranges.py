"""Ranges of a setting as text, one form beside a method and on the command line: `0.5..2`, `log(1e-3..1)`, `16|32|64`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from steelyard.core.errors import ArgumentError, SteelyardError
from steelyard.settings import convert
from steelyard.settings.text import choices_of, format_value, split_outside

FORMS = "0.5..2, log(1e-3..1), 16|32|64, or 0.1x..10x for multiples of what it is now"
DIGITS = 4
"""Significant digits of a number that is tried, so that what is printed is what was trained."""

_MULTIPLE = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?)x", re.IGNORECASE)


@dataclass(frozen=True)
class Range:
    """What a setting may be.

    Attributes:
        low: smallest number; None for a list of values.
        high: largest number; None for a list of values.
        log: draw its logarithm evenly?
        whole: whole numbers only?
        values: the list.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    values: tuple[Any, ...] = ()

    @property
    def text(self) -> str:
        """How it is written."""
        if self.low is None or self.high is None:
            return "|".join(map(format_value, self.values))
        inside = f"{_number(self.low, self.whole)}..{_number(self.high, self.whole)}"
        return f"log({inside})" if self.log else inside

    @property
    def fixed(self) -> bool:
        """Is there only one value?"""
        return len(self.values) == 1

    @property
    def ends(self) -> tuple[Any, ...]:
        """The outermost values, or all of a list."""
        if self.low is None or self.high is None:
            return self.values
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def holds(self, value: Any) -> bool:
        """Is the value in the range?"""
        if self.low is None or self.high is None:
            return any(type(value) is type(other) and value == other for other in self.values)
        numeric = isinstance(value, int if self.whole else int | float) and not isinstance(value, bool)
        return numeric and self.low <= value <= self.high

    def rounded(self, value: float) -> float:
        """A number of the range with few digits."""
        assert self.low is not None and self.high is not None
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


def _number(value: float, whole: bool) -> str:
    return format_value(int(value) if whole else float(value))


def read_range(key: str, text: str, annotation: Any, now: Any) -> Range:
    """A range from text.

    Args:
        key: whose, for messages.
        text: two ends (`0.5..2`), the same with logarithmic steps (`log(1e-3..1)`), values (`16|32|64`, `none|5`), or one
            value. A number with an x is a multiple of what the setting is now: `0.1x..10x`.
        annotation: type of the setting.
        now: its value.

    Raises:
        ArgumentError: the text is no range for a setting of that type.

    Example:
        >>> read_range("lr", "log(0.1x..10x)", float, 0.05).text
        'log(0.005..0.5)'
        >>> read_range("batch_size", "0.5x|1x|2x", int, 64).values
        (32, 64, 128)
    """
    text = text.strip()
    logarithmic = re.fullmatch(r"log\s*\((.*)\)", text, re.DOTALL)
    inner = logarithmic[1] if logarithmic else text
    if ".." in inner and "|" not in inner:
        return _interval(key, inner, annotation, now, logarithmic is not None)
    if logarithmic or not text:
        raise _refused(key, f"a range, such as {FORMS}", text)
    try:
        items = split_outside(text, "|")
    except SteelyardError:
        raise _refused(key, f"a range, such as {FORMS}", text) from None
    if not all(items):
        raise _refused(key, "values separated by |, without empty ones", text)
    multiples = [_multiple(key, item, annotation, now) for item in items]
    values = [convert(key, item, annotation) if value is None else value for item, value in zip(items, multiples, strict=True)]
    if len({(type(value), value) for value in values}) < len(values):
        if None in multiples:
            raise _refused(key, "values separated by |, each once", text)
        values = list(dict.fromkeys(values))  # multiples of a small number meet where they are rounded
    return Range(values=tuple(values))


def _interval(key: str, text: str, annotation: Any, now: Any, log: bool) -> Range:
    kinds = [kind for kind in choices_of(annotation) if kind in (int, float)]
    if not kinds:
        raise _refused(key, f"values separated by |, such as {_examples(annotation)}: it is no number", text)
    whole = float not in kinds
    parts = [part.strip() for part in text.split("..")]
    if len(parts) != 2 or not all(parts):
        raise _refused(key, f"a range, such as {FORMS}", text)
    low, high = (_end(key, part, annotation, now, whole) for part in parts)
    if not low < high:
        raise _refused(key, "a range from a smaller to a larger number, such as 0.5..2", text)
    if log and low <= 0:
        raise _refused(key, "above 0 at its lower end, as its logarithm is drawn", f"log({text})")
    return Range(low=low, high=high, log=log, whole=whole)


def _end(key: str, text: str, annotation: Any, now: Any, whole: bool) -> float:
    value = _multiple(key, text, annotation, now)
    return convert(key, text, int if whole else float) if value is None else value  # type: ignore[no-any-return]


def _multiple(key: str, text: str, annotation: Any, now: Any) -> Any:
    """The value of `0.1x`; None for other texts."""
    found = _MULTIPLE.fullmatch(text)
    kinds = [kind for kind in choices_of(annotation) if kind in (int, float)]
    if found is None or not kinds:
        return None
    if isinstance(now, bool) or not isinstance(now, int | float) or now == 0:
        raise _refused(key, f"numbers, as it is {format_value(now)} now and has no multiples", text)
    value = float(found[1]) * now
    return float(f"{value:.12g}") if float in kinds else max(1, math.floor(value + 0.5))


def _refused(key: str, expected: str, found: str) -> ArgumentError:
    return ArgumentError(f"--search {key}", expected, repr(found))


def _examples(annotation: Any) -> str:
    named = [format_value(v) for kind in choices_of(annotation) if get_origin(kind) is Literal for v in get_args(kind)]
    return "|".join(named) if named else "true|false" if bool in choices_of(annotation) else "a|b"
