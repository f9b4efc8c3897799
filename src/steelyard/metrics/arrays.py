"""What the metrics accept, checked once: arrays or tensors in, float64 probabilities and int64 classes out."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.core.errors import ArgumentError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SUM_TOLERANCE = 1e-2
"""How far a row of probabilities may sum from 1 (bfloat16 keeps about three digits); rows are rescaled to sum to 1."""


def as_array(values: Any) -> NDArray[Any]:
    """A numpy array of a list, an array, or a torch tensor on any device and of any dtype, without importing torch."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        # numpy has no bfloat16.
        values = values.double() if values.is_floating_point() else values
    return np.asarray(values)


def as_proba(proba: Any, argument: str = "proba") -> Floats:
    """Check probabilities `[N, C]` and return them as float64 with rows that sum to 1.

    Raises:
        ArgumentError: not two-dimensional, no rows, fewer than two classes, not finite, negative, or rows that do not sum to 1.

    Example:
        >>> as_proba([[0.25, 0.75]])
        array([[0.25, 0.75]])
    """
    raw = as_array(proba)
    if raw.ndim != 2 or raw.shape[0] == 0 or raw.shape[1] < 2:
        raise ArgumentError(argument, "probabilities [N, C] with at least one row and two classes", f"shape {raw.shape}")
    values = raw.astype(np.float64)
    if not np.isfinite(values).all():
        raise ArgumentError(argument, "finite", f"{int((~np.isfinite(values)).any(1).sum())} rows with NaN or infinity")
    total = values.sum(1, keepdims=True)
    if values.min() < 0 or np.abs(total - 1).max() > SUM_TOLERANCE:
        found = f"values from {values.min():.4g} to {values.max():.4g}, rows that sum to {total.min():.4g} to {total.max():.4g}"
        raise ArgumentError(argument, "probabilities (apply softmax to logits first)", found)
    # Left alone within rounding, so that checking twice changes nothing.
    rescaled: Floats = values / np.where(np.abs(total - 1) > 1e-12, total, 1.0)
    return rescaled


def as_classes(values: Any, num_classes: int | None = None, argument: str = "target") -> Ints:
    """Check class indices `[N]` and return them as int64.

    Raises:
        ArgumentError: not one-dimensional, empty, not whole numbers, or outside `[0, num_classes)`.
    """
    raw = as_array(values)
    if raw.ndim != 1 or raw.size == 0:
        raise ArgumentError(argument, "class indices [N] with at least one row", f"shape {raw.shape}")
    if raw.dtype.kind not in "biuf" or (raw.dtype.kind == "f" and not np.array_equal(raw, np.round(raw))):
        raise ArgumentError(argument, "class indices (whole numbers)", f"dtype {raw.dtype}")
    classes = raw.astype(np.int64)
    upper = num_classes if num_classes is not None else int(classes.max()) + 1
    if classes.min() < 0 or classes.max() >= upper:
        raise ArgumentError(argument, f"class indices from 0 to {upper - 1}", f"{classes.min()} to {classes.max()}")
    return classes


def as_pair(proba: Any, target: Any, argument: str = "proba") -> tuple[Floats, Ints]:
    """Probabilities `[N, C]` and classes `[N]` of the same rows."""
    values = as_proba(proba, argument)
    classes = as_classes(target, values.shape[1])
    same_rows(values.shape[0], classes.shape[0], argument)
    return values, classes


def as_decisions(prediction: Any, target: Any, num_classes: int | None = None) -> tuple[Ints, Ints, int]:
    """Decided class, true class and number of classes, from decisions `[N]` or from scores `[N, C]` (argmax, first of equals).

    Raises:
        ArgumentError: shapes do not fit, or a class is out of range.
    """
    raw = as_array(prediction)
    if raw.ndim == 2:
        if raw.shape[1] < 2 or np.isnan(raw).any():
            raise ArgumentError("prediction", "scores [N, C] of at least two classes without NaN", f"shape {raw.shape}")
        decided, width = raw.argmax(1).astype(np.int64), int(raw.shape[1])
        truth = as_classes(target, width)
    else:
        decided = as_classes(raw, num_classes, "prediction")
        truth = as_classes(target, num_classes)
        width = num_classes if num_classes is not None else int(max(decided.max(), truth.max())) + 1
    same_rows(decided.shape[0], truth.shape[0], "prediction")
    return decided, truth, width


def same_rows(rows: int, expected: int, argument: str) -> None:
    """Raise unless an argument has one row for each row of `target`."""
    if rows != expected:
        raise ArgumentError(argument, f"one row for each of the {expected} rows of `target`", f"{rows} rows")
