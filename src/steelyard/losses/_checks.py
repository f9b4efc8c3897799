"""The check of numbers that the losses share."""

from __future__ import annotations

import math
from numbers import Real

from steelyard.core.errors import ArgumentError


def check_number(
    argument: str, value: object, *, low: float = -math.inf, high: float = math.inf, open_high: bool = False
) -> float:
    """A finite number in [low, high], or in [low, high) where `open_high`.

    Raises:
        ArgumentError: it is not.
    """
    if type(value) is bool or not isinstance(value, Real):
        raise ArgumentError(argument, _range(low, high, open_high), repr(value))
    number = float(value)
    if not (math.isfinite(number) and low <= number <= high) or (open_high and number == high):
        raise ArgumentError(argument, _range(low, high, open_high), value)
    return number


def _range(low: float, high: float, open_high: bool) -> str:
    if low == -math.inf:
        return "a finite number"
    if high == math.inf:
        return f"a finite number, {low:g} or more"
    return f"a number in [{low:g}, {high:g}{')' if open_high else ']'}"
