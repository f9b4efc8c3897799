"""Checks that the losses share; none of them looks at the values of a tensor, which would wait for the device."""

from __future__ import annotations

import math
from numbers import Real

from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.loss import check_classes


def check_rows(logits: Tensor, target: Tensor, classes: int | None = None) -> None:
    """Refuse logits that are not `[N, C]` and targets that are not whole numbers `[N]`.

    Raises:
        ArgumentError: naming `logits` or `target`.
    """
    if classes is not None:
        check_classes(logits, classes)
    elif logits.ndim != 2:
        raise ArgumentError("logits", "of shape [N, C]", list(logits.shape))
    if target.shape != logits.shape[:1]:
        raise ArgumentError("target", f"of shape [{logits.shape[0]}], one class index a row of logits", list(target.shape))
    if target.is_floating_point():
        expected = "whole class indices (int64); give a mixed example as two rows with shares instead of soft targets"
        raise ArgumentError("target", expected, target.dtype)


def check_number(
    argument: str, value: float, *, low: float = -math.inf, high: float = math.inf, open_high: bool = False
) -> float:
    """A finite number in [low, high], or in [low, high) where `open_high`.

    Raises:
        ArgumentError: it is not.
    """
    inside = isinstance(value, Real) and math.isfinite(value) and low <= value <= high
    if not inside or (open_high and value == high):
        raise ArgumentError(argument, _range(low, high, open_high), value)
    return float(value)


def _range(low: float, high: float, open_high: bool) -> str:
    if low == -math.inf:
        return "a finite number"
    if high == math.inf:
        return f"a finite number, {low:g} or more"
    return f"a number in [{low:g}, {high:g}{')' if open_high else ']'}"
