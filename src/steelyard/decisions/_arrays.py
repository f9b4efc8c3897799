"""What fitted decisions accept, checked once: arrays or tensors in, float64 and int64 arrays out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.loss import upcast

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

SUM_TOLERANCE = 1e-2
"""How far a row of probabilities may sum from 1 (bfloat16 keeps about three digits)."""
ROUNDING = 1e-5
"""Rows that sum to 1 within this are left exactly as they are; others are rescaled."""
LEAST = float(np.finfo(np.float64).tiny)
"""Smallest probability whose logarithm is taken: a probability of 0 counts as this, so that nothing is infinite."""


def as_array(values: Any) -> NDArray[Any]:
    """A numpy array of a list, an array, or a tensor on any device."""
    if isinstance(values, Tensor):
        values = upcast(values.detach()).cpu()  # numpy has no bfloat16
    return np.asarray(values)


def as_number(value: Any, argument: str, expected: str, fits: Callable[[float], bool]) -> float:
    """A number that fits, which NaN and text do not.

    Raises:
        ArgumentError: it does not.
    """
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not fits(number):
        raise ArgumentError(argument, expected, f"{value!r:.60}")
    return number


def as_floats(values: Any, argument: str, expected: str) -> Floats:
    """Numbers as float64, of whatever shape.

    Raises:
        ArgumentError: no numbers.
    """
    try:
        found: Floats = as_array(values).astype(np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(argument, expected, f"{values!r:.60}") from None
    return found


def as_scores(scores: Any, argument: str) -> Floats:
    """Scores `[N, C]` as float64; minus infinity is allowed, for it is the logarithm of 0.

    Raises:
        ArgumentError: not numbers, not two-dimensional, no rows, fewer than two classes, NaN or plus infinity, or a row of
            minus infinity alone.
    """
    try:
        values = as_array(scores).astype(np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(argument, "numbers of shape [N, C]", f"a {type(scores).__name__}") from None
    if values.ndim != 2 or values.shape[0] == 0 or values.shape[1] < 2:
        expected = "of shape [N, C] with at least one row and two classes (two columns, 1 - p and p, for two classes)"
        raise ArgumentError(argument, expected, f"shape {list(values.shape)}")
    wrong = np.isnan(values) | (values == np.inf)
    if wrong.any():
        raise ArgumentError(argument, "free of NaN and infinity", f"{int(wrong.any(1).sum())} rows with some")
    empty = (values == -np.inf).all(1)
    if empty.any():
        raise ArgumentError(argument, "finite for one class of each row at least", f"{int(empty.sum())} rows of minus infinity")
    return values


def as_proba(proba: Any, classes: int | None = None, argument: str = "proba") -> Floats:
    """Probabilities `[N, C]` as float64.

    Rows that sum to 1 within rounding of float32 are left exactly as they are, so that cutting them at a threshold is the same
    here and elsewhere.

    Raises:
        ArgumentError: as for scores, or negative, or rows that do not sum to 1, or another number of classes.
    """
    values = as_scores(proba, argument)
    if classes is not None and values.shape[1] != classes:
        raise ArgumentError(argument, f"of shape [N, {classes}], one column a class", f"shape {list(values.shape)}")
    low, total = float(values.min()), values.sum(1)
    gap = np.abs(total - 1)
    if low < 0 or float(gap.max()) > SUM_TOLERANCE:
        found = f"values from {low:.4g} to {values.max():.4g}, rows that sum to {total.min():.4g} to {total.max():.4g}"
        raise ArgumentError(argument, "probabilities, 0 or more, whose rows sum to 1 (apply softmax to logits first)", found)
    off = gap > ROUNDING
    if off.any():
        values[off] /= total[off, None]
    return values


def as_target(target: Any, rows: int, classes: int, argument: str = "target") -> Ints:
    """Class indices `[N]` as int64.

    Raises:
        ArgumentError: another shape, not whole numbers, or outside 0 to C - 1.
    """
    raw = as_array(target)
    if raw.shape != (rows,):
        raise ArgumentError(argument, f"of shape [{rows}], one class index a row", f"shape {list(raw.shape)}")
    if raw.dtype.kind not in "biuf" or (raw.dtype.kind == "f" and not np.array_equal(raw, np.round(raw))):
        raise ArgumentError(argument, "class indices (whole numbers)", f"dtype {raw.dtype}")
    found = raw.astype(np.int64)
    if found.min() < 0 or found.max() >= classes:
        raise ArgumentError(argument, f"class indices from 0 to {classes - 1}", f"{found.min()} to {found.max()}")
    return found


def as_weight(sample_weight: Any, rows: int) -> Floats:
    """Row weights `[N]` as float64; ones where none are given.

    Raises:
        ArgumentError: another shape, negative, not finite, or all zero.
    """
    if sample_weight is None:
        return np.ones(rows)
    weight = as_floats(sample_weight, "sample_weight", f"numbers of shape [{rows}], one weight a row")
    if weight.shape != (rows,):
        raise ArgumentError("sample_weight", f"of shape [{rows}], one weight a row", f"shape {list(weight.shape)}")
    if not np.isfinite(weight).all() or weight.min() < 0 or weight.sum() == 0:
        raise ArgumentError("sample_weight", "finite, 0 or more, and not all 0", f"{weight.min():g} to {weight.max():g}")
    return weight


def as_prior(prior: Any, argument: str, classes: int | None = None, *, zeros: bool = False) -> Floats:
    """Class shares `[C]` as float64 that sum to 1.

    Raises:
        ArgumentError: another shape, not finite, negative, zeros where there may be none, or a sum other than 1.
    """
    shares = as_floats(prior, argument, "class shares [C]")
    size = shares.shape[0] if classes is None and shares.ndim == 1 else classes
    if shares.shape != (size,) or shares.size < 2:
        expected = "class shares of shape [C], two or more" if classes is None else f"class shares of shape [{classes}]"
        raise ArgumentError(argument, expected, f"shape {list(shares.shape)}")
    if not np.isfinite(shares).all() or shares.min() < 0 or abs(shares.sum() - 1) > ROUNDING:
        expected = "class shares, 0 or more, that sum to 1 (divide class counts by their sum)"
        raise ArgumentError(argument, expected, shares.tolist()[:8])
    if not zeros and shares.min() == 0:
        absent = np.flatnonzero(shares == 0).tolist()
        expected = "above 0 for every class (give a class that was never seen the share of one row)"
        raise ArgumentError(argument, expected, f"a share of 0 for class {', '.join(map(str, absent[:8]))}")
    result: Floats = shares / shares.sum()
    return result


def as_class(positive: Any, classes: int) -> int:
    """A class index.

    Raises:
        ArgumentError: not a whole number from 0 to C - 1.
    """
    if isinstance(positive, bool) or not isinstance(positive, int | np.integer) or not 0 <= positive < classes:
        raise ArgumentError("positive", f"a class index from 0 to {classes - 1}", repr(positive))
    return int(positive)


def mass_of(target: Ints, weight: Floats, classes: int) -> Floats:
    """Weight of each class `[C]`."""
    return np.bincount(target, weights=weight, minlength=classes).astype(np.float64)


def need_all(mass: Floats, argument: str, why: str) -> None:
    """Refuse rows in which a class is missing.

    Raises:
        DataError: naming the classes and saying why it matters.
    """
    absent = np.flatnonzero(mass == 0).tolist()
    if absent:
        named = ", ".join(map(str, absent[:8])) + (", ..." if len(absent) > 8 else "")
        raise DataError(f"`{argument}` has no rows (of weight above 0) of class {named}: {why}")


def log_of(proba: Floats) -> Floats:
    """Logarithm, with 0 taken as the smallest normal number."""
    result: Floats = np.log(np.maximum(proba, LEAST))
    return result


def like(result: NDArray[Any], given: Any) -> Any:
    """The result as what was given: a tensor on its device, else an array. Floats keep at least float32."""
    if not isinstance(given, Tensor):
        return result
    made = torch.from_numpy(np.ascontiguousarray(result)).to(given.device)
    wanted = torch.promote_types(given.dtype, torch.float32) if given.is_floating_point() else torch.float64
    return made.to(wanted) if made.is_floating_point() else made


def finite_logs(scores: Tensor) -> Tensor:
    """Scores with minus infinity (the logarithm of 0) replaced by what is far below the row's largest, but finite."""
    return torch.where(scores == -torch.inf, scores.amax(1, keepdim=True) + np.log(LEAST), scores)


def log_proba_of(scores: Tensor) -> Tensor:
    """Log-probabilities `[N, C]` float64 of scores; what already are log-probabilities stays exactly as it is.

    Subtracting the logarithm of a sum that is 1 but for rounding would move them off the threshold that they stand on.
    """
    wide = finite_logs(scores.double())
    total = wide.logsumexp(1, keepdim=True)
    return torch.where(total.abs() <= ROUNDING, wide, wide - total)


def reaches(logs: Tensor, least: Tensor, given: torch.dtype) -> Tensor:
    """Whether probabilities are at least some number, of equals too: a logarithm is rounded, so its last digits do not count.

    Args:
        logs: log-probabilities.
        least: the numbers, 0 or more; broadcast.
        given: the type that the scores came in.
    """
    bar = least.double().log()
    rounding = 4 * torch.finfo(torch.float64 if given == torch.float64 else torch.float32).eps
    return logs >= torch.where(bar.isfinite(), bar - rounding * bar.abs(), bar)
