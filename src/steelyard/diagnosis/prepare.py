"""Rows as the estimators need them: checked, scaled, without columns that say nothing, turned into as few axes as rows span."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.core.errors import ArgumentError, DataError
from steelyard.metrics.arrays import Floats, Ints, as_array

BLOCK = 8_000_000
"""Values that are copied at a time."""


@dataclass(frozen=True)
class Prepared:
    """Rows with their classes, ready to be measured.

    Every distance between rows is that of the scaled columns: `rows` is those columns turned (an isometry), so that 50,000
    columns of 200 rows become 199.

    Args:
        rows: scaled, centred and turned rows, float64 `[n, r]`.
        target: class of each row, 0 to K-1 in the order of `labels`, `[n]`.
        labels: the K labels, sorted.
        counts: rows of each class `[K]`.
        columns: columns that were given.
        constant: columns that were left out because all their values are equal.
        duplicate: columns that were left out because they repeat another one.
        dim: d, the features that count: distinct columns that vary, less those that others determine linearly.
    """

    rows: Floats
    target: Ints
    labels: tuple[Any, ...]
    counts: Ints
    columns: int
    constant: int
    duplicate: int
    dim: int


@dataclass(frozen=True)
class Within:
    """Class means and the scatter around them.

    Args:
        means: of each class `[K, r]`; NaN rows for classes without rows.
        residuals: rows less the mean of their class `[n, r]`.
        dof: degrees of freedom m, rows less classes.
    """

    means: Floats
    residuals: Floats
    dof: int

    def covariance(self) -> Floats:
        """The pooled within-class covariance `[r, r]`, residuals' squares over m."""
        return np.asarray(self.residuals.T @ self.residuals / self.dof, dtype=np.float64)


def prepare(X: Any, y: Any) -> Prepared:
    """Check numbers and labels, and turn the rows into the axes that they span.

    Columns are divided by their standard deviation over all rows, so no unit matters. No matrix of columns by columns is made
    where there are more columns than rows.

    Args:
        X: numbers `[n, d]`, an array, tensor or data frame; categories and missing values are the caller's to encode.
        y: labels `[n]`, of any kind that sorts.

    Raises:
        ArgumentError: shapes that do not fit, or values that are not numbers.
        DataError: missing or infinite values, one class only, every class with one row, or no column that varies.
    """
    values, labels, target = _numbers(X), *_classes(y)
    if values.shape[0] != target.shape[0]:
        raise ArgumentError("X", f"one row for each of the {target.shape[0]} labels in `y`", f"{values.shape[0]} rows")
    counts = np.bincount(target).astype(np.int64)
    if len(labels) < 2:
        raise DataError(f"`y` has one class only ({labels[0]!r}), and nothing can be told apart; give rows of a second class")
    if counts.max() < 2:
        raise DataError("every class in `y` has one row, so the spread within classes is unknown; is `y` a class label?")
    scaled, constant, duplicate = _columns(values)
    turned, dim = _turn(scaled)
    return Prepared(turned, target, labels, counts, values.shape[1], constant, duplicate, dim)


def within(rows: Floats, target: Ints, num_classes: int) -> Within:
    """Class means and residuals of rows `[n, r]`; classes without rows get NaN."""
    counts = np.bincount(target, minlength=num_classes)
    order = np.argsort(target, kind="stable")
    there = np.flatnonzero(counts)
    means = np.full((num_classes, rows.shape[1]), np.nan)
    starts = np.concatenate([[0], np.cumsum(counts[there])[:-1]])
    means[there] = np.add.reduceat(rows[order], starts, axis=0) / counts[there, None]
    return Within(means, rows - means[target], int(rows.shape[0] - there.size))


def _numbers(X: Any) -> NDArray[Any]:
    values = as_array(X)
    if values.ndim != 2 or 0 in values.shape:
        raise ArgumentError("X", "numbers [n, d] with at least one row and one column", f"shape {values.shape}")
    if values.dtype.kind not in "biuf":
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError):
            raise ArgumentError("X", "numbers (encode categories first)", f"dtype {values.dtype}") from None
    for piece in _blocks(values):
        if not np.isfinite(piece).all():
            bad = sorted({int(j) for block in _blocks(values) for j in np.flatnonzero(~np.isfinite(block).all(0))})
            raise DataError(
                f"`X` has missing or infinite values in {len(bad)} columns (first: column {bad[0]}); fill or drop them first"
            )
    return values


def _classes(y: Any) -> tuple[tuple[Any, ...], Ints]:
    labels = as_array(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not labels.size:
        raise ArgumentError("y", "labels [n] with at least one row", f"shape {labels.shape}")
    missing = np.isnan(labels) if labels.dtype.kind == "f" else np.array([one is None or one != one for one in labels.tolist()])
    if missing.any():
        raise DataError(f"`y` is missing in {int(missing.sum())} rows; drop them first")
    try:
        there, target = np.unique(labels, return_inverse=True)
    except TypeError:
        raise ArgumentError("y", "labels of one kind", "labels that cannot be sorted") from None
    return tuple(there.tolist()), target.reshape(-1).astype(np.int64)


def _blocks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Runs of columns of at most `BLOCK` values (whole columns, in order)."""
    width = max(1, BLOCK // values.shape[0])
    return (values[:, start : start + width] for start in range(0, values.shape[1], width))


def _columns(values: NDArray[Any]) -> tuple[Floats, int, int]:
    """Columns that vary and are distinct, centred and of standard deviation 1; how many were constant, how many repeated."""
    kept: list[Floats] = []
    seen: set[bytes] = set()
    constant = duplicate = 0
    for piece in _blocks(values):
        block = np.array(piece.T, dtype=np.float64, order="C")
        largest = np.abs(block).max(1)
        varies = np.ptp(block, axis=1) > 1e-12 * largest
        constant += int((~varies).sum())
        # Divided first, so that squares of large numbers stay finite.
        block = block[varies] / largest[varies, None]
        block -= block.mean(1, keepdims=True)
        block /= np.sqrt(np.square(block).mean(1, keepdims=True))
        new = [i for i, column in enumerate(block) if _first(column, seen)]
        duplicate += block.shape[0] - len(new)
        kept.append(block[new])
    if not seen:
        raise DataError("no column of `X` varies, so the classes cannot be told apart; give features that differ between rows")
    return np.concatenate(kept).T, constant, duplicate


def _first(column: Floats, seen: set[bytes]) -> bool:
    """Whether a column is new; one that differs in rounding, unit, origin or sign only is not."""
    turned = column * np.sign(column[np.argmax(np.abs(column) > 0.5)])
    key = hashlib.blake2b((np.round(turned, 9) + 0.0).tobytes(), digest_size=16).digest()
    new = key not in seen
    seen.add(key)
    return new


def _turn(scaled: Floats) -> tuple[Floats, int]:
    """The rows in the axes that they span `[n, r]`, and the number of features that count."""
    n, d = scaled.shape
    gram = scaled @ scaled.T if d > n else scaled.T @ scaled
    squares, axes = np.linalg.eigh(gram)
    keep = squares > squares[-1] * max(n, d) * 1e-14
    rank = int(keep.sum())
    rows = axes[:, keep] * np.sqrt(squares[keep]) if d > n else scaled @ axes[:, keep]
    # Full rank for so many rows says nothing of the columns beyond; less rank says that columns determine each other.
    return np.ascontiguousarray(rows), d if rank >= min(n - 1, d) else rank
