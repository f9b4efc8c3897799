"""Rows that are there twice: under two labels, or in training and test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import derive
from steelyard.diagnosis.prepare import _classes as labels_of
from steelyard.metrics.arrays import Floats, Ints, as_array

BLOCK = 4_000_000
"""Values that are copied at a time."""

AXES = 12
"""Orthonormal axes that neighbours are looked for along."""

CANDIDATES = 8
"""Neighbours along the axes whose whole distance is taken."""

SAMPLE = 300
"""Rows whose nearest neighbours say what distance is usual."""

SPLITS = "train", "test"


@dataclass(frozen=True)
class Repeats:
    """Rows that belong together because they are the same, or nearly so.

    Args:
        groups: sets of two rows or more.
        rows: in these sets.
        across_classes: sets whose rows carry two labels or more.
        rows_across_classes: rows in them.
        across_splits: sets with rows in training and in test.
        test_rows_across_splits: test rows in them.
        by_class: share of the rows of each label that are in a set across classes.
        examples: row numbers of sets, those across classes first, then those across splits; test rows follow the training rows
            in number.
    """

    groups: int
    rows: int
    across_classes: int
    rows_across_classes: int
    across_splits: int
    test_rows_across_splits: int
    by_class: dict[Any, float]
    examples: tuple[tuple[int, ...], ...] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "groups": self.groups,
            "rows": self.rows,
            "across_classes": self.across_classes,
            "rows_across_classes": self.rows_across_classes,
            "across_splits": self.across_splits,
            "test_rows_across_splits": self.test_rows_across_splits,
            "by_class": {str(label): share for label, share in self.by_class.items()},
            "examples": [list(one) for one in self.examples],
        }


@dataclass(frozen=True)
class Duplicates:
    """What `duplicates` found.

    Args:
        rows: that were compared, training and test together.
        exact: rows equal in every column.
        near: distinct rows closer than `distance`; a row that repeats others stands for all of them. None where none was asked
            for, or rows have no usual distance.
        distance: below which rows are near, in standard deviations of the columns.
        usual: median distance of a row to the nearest distinct one.
        expected: near pairs that chance alone would make at the rate of distances up to `usual`; where it is not far below
            what was found, near rows are no copies.
    """

    rows: int
    exact: Repeats
    near: Repeats | None
    distance: float
    usual: float
    expected: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values; None stands for NaN."""
        return {
            "rows": self.rows,
            "exact": self.exact.to_dict(),
            "near": None if self.near is None else self.near.to_dict(),
            **{name: _number(getattr(self, name)) for name in ("distance", "usual", "expected")},
        }

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as JSON.

        Args:
            indent: spaces a level; None for one line.
        """
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)


def duplicates(
    X: Any, y: Any, *, test: tuple[Any, Any] | None = None, near: float | None = 0.05, examples: int = 20, seed: int = 0
) -> Duplicates:
    """Find rows that are equal, exactly, and rows that are nearly so; under two labels, and in training and test.

    Takes time of order n log n, and memory for a few copies of `AXES` columns beside blocks.

    Args:
        X: numbers `[n, ...]`, a table (encode categories first) or images. Missing values (NaN) equal each other;
            values are compared in double precision.
        y: labels `[n]`.
        test: numbers and labels of the test rows; None for none.
        near: rows are near if their distance is below this share of the usual distance to the nearest row, above 0 and below
            1; None leaves near rows out. Missing values count as the column's mean here.
        examples: sets that are listed, 0 or more.
        seed: of the rows that say what distance is usual.

    Returns:
        Duplicates, with `to_json`. Exact sets are complete. Of each row up to eight near ones are followed.

    Raises:
        ArgumentError: shapes do not fit, or values that are not numbers.
        DataError: a label is missing.

    Example:
        >>> X = np.arange(40.0).reshape(10, 4)
        >>> X[8] = X[1]
        >>> found = duplicates(X, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
        >>> found.exact.across_classes, found.exact.examples[0]
        (1, (1, 8))
    """
    if (near is not None and not 0 < near < 1) or examples < 0:
        raise ArgumentError("near and examples", "between 0 and 1 (or None), and at least 0", f"{near} and {examples}")
    values, labels, target = _flat(X, "X"), *labels_of(y)
    parts = [values]
    if len(values) != len(target):
        raise ArgumentError("X", f"one row for each of the {len(target)} labels in `y`", f"{len(values)} rows")
    split = np.zeros(len(target), dtype=bool)
    if test is not None:
        parts.append(_flat(test[0], "test"))
        if parts[1].shape[1] != values.shape[1] or len(parts[1]) != len(as_array(test[1])):
            raise ArgumentError("test", f"rows with {values.shape[1]} columns and a label each", f"shape {parts[1].shape}")
        labels, target = labels_of(np.concatenate([as_array(y).reshape(-1), as_array(test[1]).reshape(-1)]))
        split = np.repeat([False, True], [len(part) for part in parts])
    known = (labels, target, split, examples)
    first = _equal(parts)
    exact = _repeats(first, known)
    if near is None:
        return Duplicates(len(target), exact, None, float("nan"), float("nan"), float("nan"))
    return _nearby(parts, first, exact, known, (near, seed))


def _equal(parts: list[NDArray[Any]]) -> Ints:
    """For each row the number of the first row that is equal to it."""
    keys = np.concatenate([_hashes(part) for part in parts])
    order = np.argsort(keys, kind="stable")
    total = len(keys)
    first = np.arange(total)
    same = keys[order][1:] == keys[order][:-1]
    for start, stop in _runs(same):
        rows = order[start:stop]
        # Equal hashes are nearly always equal rows; bytes decide.
        seen: dict[bytes, int] = {}
        for row in rows.tolist():
            first[row] = seen.setdefault(_row(parts, row).tobytes(), row)
    return first


def _runs(same: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Start and stop of each run of two places or more that are marked equal to the next."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2).tolist():
        yield start, stop + 1


def _hashes(values: NDArray[Any]) -> NDArray[np.uint64]:
    """A 64-bit key of each row."""
    rng = np.random.default_rng(derive(0, "duplicates"))
    factors = rng.integers(0, 2**63, values.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    found = np.empty(len(values), dtype=np.uint64)
    for rows, block in _blocks(values):
        bits = block.view(np.uint64)
        mixed = (bits ^ (bits >> np.uint64(29))) * factors
        found[rows] = (mixed ^ (mixed >> np.uint64(32))).sum(1, dtype=np.uint64)
    return found


def _blocks(values: NDArray[Any]) -> Iterator[tuple[slice, Floats]]:
    """Runs of rows in one form: doubles, one zero, one NaN."""
    height = max(1, BLOCK // values.shape[1])
    for start in range(0, len(values), height):
        rows = slice(start, start + height)
        yield rows, _canonical(values[rows])


def _canonical(values: NDArray[Any]) -> Floats:
    block = np.ascontiguousarray(values, dtype=np.float64) + 0.0
    block[np.isnan(block)] = np.nan
    return block


def _row(parts: list[NDArray[Any]], row: int) -> Floats:
    for part in parts:
        if row < len(part):
            return _canonical(part[row])
        row -= len(part)
    raise IndexError(row)


def _nearby(
    parts: list[NDArray[Any]],
    first: Ints,
    exact: Repeats,
    known: tuple[tuple[Any, ...], Ints, NDArray[np.bool_], int],
    asked: tuple[float, int],
) -> Duplicates:
    """Distinct rows that are close to each other."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    near, seed = asked
    distinct = np.unique(first)
    scale = _Scale.of(parts)
    rng = np.random.default_rng(derive(seed, "duplicates", "sample"))
    sample = np.sort(rng.choice(distinct, min(SAMPLE, len(distinct)), replace=False))
    two = _nearest(parts, scale, sample, distinct)
    usual = float(np.median(two[:, 0])) if len(two) else float("nan")
    if not np.isfinite(usual) or usual == 0:
        return Duplicates(len(first), exact, None, float("nan"), usual, float("nan"))
    distance = near * usual
    axes = _axes(np.concatenate([scale.of_rows(parts, rows) for rows in np.array_split(sample, 4)]))
    flat = np.concatenate([scale.scaled(block) @ axes for part in parts for _, block in _blocks(part)])[distinct]
    _, neighbours = cKDTree(flat).query(flat, k=min(CANDIDATES, len(distinct) - 1) + 1, distance_upper_bound=distance)
    here, column = np.nonzero(neighbours < len(distinct))
    there = neighbours[here, column]
    pairs = np.stack([here, there])[:, here < there]
    pairs = np.unique(np.concatenate([pairs, np.stack([there, here])[:, here > there]], axis=1), axis=1)
    kept = np.concatenate([np.empty(0, bool), *(
        np.linalg.norm(scale.of_rows(parts, distinct[some[0]]) - scale.of_rows(parts, distinct[some[1]]), axis=1) < distance
        for some in np.array_split(pairs, max(1, pairs.shape[1] * flat.shape[1] // BLOCK + 1), axis=1)
    )])  # fmt: skip
    pairs = pairs[:, kept]
    graph = coo_matrix((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=(len(distinct), len(distinct)))
    component = connected_components(graph, directed=False)[1]
    lowest = np.full(len(distinct), len(first))
    np.minimum.at(lowest, component, distinct)
    linked = np.isin(component, component[pairs[0]])
    # Rows that only repeat exactly are no near ones; those near another one bring their copies.
    place = np.searchsorted(distinct, first)
    together = np.where(linked[place], lowest[component[place]], np.arange(len(first)))
    expected = len(distinct) / 2 * _by_chance(two, near)
    return Duplicates(len(first), exact, _repeats(together, known), distance, usual, expected)


def _by_chance(two: Floats, near: float) -> float:
    """Probability that the nearest row is within a share of the usual distance, if there are no copies.

    1 - 2^(-near^m), m the dimension that the two nearest distances speak of.
    """
    ratio = np.log(two[:, 1] / np.maximum(two[:, 0], 1e-300))
    ratio = np.sort(ratio[np.isfinite(ratio)])[: max(1, int(0.9 * len(ratio)))]
    if len(ratio) < 5 or ratio.sum() <= 0:
        return float("nan")
    # Of the smallest nine tenths of exponential values: their sum, and what the rest is at least.
    number = len(ratio)
    dimension = number / (ratio.sum() + (len(two) - number) * ratio[-1])
    return float(-np.expm1(-np.log(2) * near**dimension))


@dataclass(frozen=True)
class _Scale:
    """Mean and standard deviation of each column, without missing values."""

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, parts: list[NDArray[Any]]) -> _Scale:
        number, total, square = np.zeros((3, parts[0].shape[1]))
        shift: Floats | None = None
        for part in parts:
            for _, block in _blocks(part):
                there = np.isfinite(block)
                shift = np.where(there[0], block[0], 0.0) if shift is None else shift
                away = np.where(there, block - shift, 0.0)
                number += there.sum(0)
                total += away.sum(0)
                square += np.square(away).sum(0)
        number = np.maximum(number, 1)
        mean = total / number
        deviation = np.sqrt(np.maximum(square / number - mean**2, 0.0))
        assert shift is not None
        return cls(mean + shift, np.where(deviation > 0, deviation, 1.0))

    def scaled(self, block: Floats) -> Floats:
        """In standard deviations from the mean; 0 where a value is missing."""
        found: Floats = np.where(np.isfinite(block), (block - self.mean) / self.deviation, 0.0)
        return found

    def of_rows(self, parts: list[NDArray[Any]], rows: Ints) -> Floats:
        """Some rows, scaled."""
        found = np.empty((len(rows), parts[0].shape[1]))
        cut = len(parts[0])
        found[rows < cut] = self.scaled(_canonical(parts[0][rows[rows < cut]]))
        if len(parts) > 1:
            found[rows >= cut] = self.scaled(_canonical(parts[1][rows[rows >= cut] - cut]))
        return found


def _nearest(parts: list[NDArray[Any]], scale: _Scale, sample: Ints, distinct: Ints) -> Floats:
    """Distances of some rows to the two nearest distinct rows `[M, 2]`."""
    if len(distinct) < 3:
        return np.empty((0, 2))
    asked = scale.of_rows(parts, sample)
    best = np.full((len(sample), 2), np.inf)
    height = max(1, BLOCK // max(asked.shape[1], len(sample)))
    for start in range(0, len(distinct), height):
        rows = distinct[start : start + height]
        block = scale.of_rows(parts, rows)
        squares = np.square(asked).sum(1)[:, None] + np.square(block).sum(1) - 2 * asked @ block.T
        squares[sample[:, None] == rows] = np.inf
        best = np.sort(np.concatenate([best, np.partition(squares, min(1, len(rows) - 1), axis=1)[:, :2]], axis=1), axis=1)[
            :, :2
        ]
    # Twice the rounding of the squares that were taken from each other.
    found: Floats = np.sqrt(np.maximum(best, 1e-12 * np.square(asked).sum(1)[:, None]))
    return found


def _axes(rows: Floats) -> Floats:
    """Orthonormal axes along which some rows spread most `[d, AXES]`; no distance grows along them."""
    centred = rows - rows.mean(0)
    axes: Floats = np.linalg.svd(centred, full_matrices=False)[2][:AXES].T
    return axes


def _repeats(first: Ints, known: tuple[tuple[Any, ...], Ints, NDArray[np.bool_], int]) -> Repeats:
    """Sets of rows with the same first row."""
    labels, target, split, most = known
    _, group, sizes = np.unique(first, return_inverse=True, return_counts=True)
    several = sizes[group] > 1
    low, high = np.full(len(sizes), len(labels)), np.full(len(sizes), -1)
    np.minimum.at(low, group, target)
    np.maximum.at(high, group, target)
    tested = np.bincount(group, split, minlength=len(sizes))
    classes, splits = (sizes > 1) & (low < high), (sizes > 1) & (tested > 0) & (tested < sizes)
    of_class = np.bincount(target, minlength=len(labels))
    share = np.bincount(target[classes[group]], minlength=len(labels)) / np.maximum(of_class, 1)
    ranked = np.lexsort((np.arange(len(sizes)), ~splits, ~classes, sizes < 2))[: min(most, int((sizes > 1).sum()))]
    listed = tuple(tuple(np.flatnonzero(group == one)[:10].tolist()) for one in ranked)
    return Repeats(
        int((sizes > 1).sum()),
        int(several.sum()),
        int(classes.sum()),
        int(sizes[classes].sum()),
        int(splits.sum()),
        int(tested[splits].sum()),
        {label: float(value) for label, value in zip(labels, share, strict=True)},
        listed,
    )


def _flat(values: Any, argument: str) -> NDArray[Any]:
    """Rows of numbers, `[n, d]`."""
    given = as_array(values)
    if given.ndim < 1 or given.size == 0:
        raise ArgumentError(argument, "numbers [n, ...] with at least one row and one column", f"shape {given.shape}")
    if given.dtype.kind not in "biuf":
        try:
            given = given.astype(np.float64)
        except (TypeError, ValueError):
            raise ArgumentError(argument, "numbers (encode categories first)", f"dtype {given.dtype}") from None
    return given.reshape(len(given), -1)


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
