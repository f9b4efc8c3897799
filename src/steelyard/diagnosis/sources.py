"""What a file holds, as numbers and classes that can be measured: no row is held out and no missing value refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.seeds import derive
from steelyard.data.columns import as_numbers
from steelyard.data.encoder import TableEncoder
from steelyard.data.labels import encode_labels
from steelyard.data.npz import read_npz
from steelyard.data.raw import Frame
from steelyard.data.splits import thin
from steelyard.data.table_file import TableFile
from steelyard.data.tabular import giveaways
from steelyard.metrics.arrays import Ints

ROWS = 100_000
"""Rows that are measured unless more are asked for."""

CELLS = 30_000_000
"""Rows times columns that are measured at most, whatever was asked for: of more, rows are sampled."""

WIDE = 3000
"""With more columns, at most so many rows are measured: time grows with the cube of the smaller number."""

LEVELS = 200
"""A category needs one row in so many to have a column of its own; rarer ones share none."""

LOOKED_AT = 2000
"""Columns up to which each is compared with the classes."""

NAMED = 3
"""Columns that a note names."""

Numbers = NDArray[np.float32]
Json = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """Rows to measure, and where they come from.

    Args:
        name: of the data.
        kind: "table", "arrays" or "images".
        target: what the classes are called.
        X: numbers without missing values `[n, d]`.
        y: classes `[n]`, 0 to K-1.
        class_names: `[K]`.
        counts: rows of each class in all the data, of which `y` may be a sample `[K]`.
        columns: of a table, what became of each: name, kind, missing (a share), used, note.
        notes: what a user should know, a sentence each.
    """

    name: str
    kind: str
    target: str
    X: Numbers = field(repr=False)
    y: Ints = field(repr=False)
    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    columns: tuple[Json, ...] = ()
    notes: tuple[str, ...] = ()


def read_table_source(
    path: Path,
    target: str,
    *,
    drop: Sequence[str] = (),
    max_rows: int = ROWS,
    features: int | None = None,
    seed: int = 0,
) -> Source:
    """A CSV, TSV or Parquet file of any size.

    Numbers, truth values, dates and times are numbers, missing ones the median; categories are a 0/1 column each, free text
    counts of hashed words. Columns that name rows are left out, and rows without a label. Of more rows than `max_rows` a
    stratified sample is measured.

    Args:
        path: of the file.
        target: its column of classes.
        drop: columns to leave out.
        max_rows: rows to measure, 2 or more.
        features: columns to measure at most, 1 or more, drawn by chance; None for all.
        seed: of what is drawn.

    Raises:
        SteelyardError: anything that keeps the file from being measured, in one sentence.
    """
    _check_limits(max_rows, features)
    file = TableFile(path, target=target, drop=drop)
    labels = np.concatenate([_plain(chunk[target]) for chunk in file.chunks([target])])
    labelled, class_names, y, notes = _labels(labels, f"column '{target}'")
    used = [name for name in file.columns if name != target and name not in file.identifiers]
    if not used:
        raise DataError(f"no feature columns are left to measure beside the target '{target}'")
    notes = [*file.notes, *notes, *(f"column '{name}' was left out: {why}" for name, why in file.identifiers.items())]
    kept = sample(y, _most(max_rows, len(used), features), seed)
    frame = _rows(file, used, labelled[kept], len(labels))
    notes += _suspects(frame, y[kept])
    X, why = _numbers(frame, file)
    notes += [f"column '{name}' was left out: {reason}" for name, reason in why.items()][:NAMED]
    left_out = dict(file.identifiers) | why
    X, sampled = _narrow(X, features, seed)
    lines = _lines(file, left_out)
    counts = np.bincount(y, minlength=len(class_names))
    source = Source(
        path.name, "table", target, X, y[kept], class_names, tuple(counts.tolist()), lines, (*notes, *sampled)
    )  # fmt: skip
    return _noted(source)


def read_array_source(path: Path, *, max_rows: int = ROWS, features: int | None = None, seed: int = 0) -> Source:
    """An `.npz` file with `X` and `y`; more than two dimensions are laid out as one row.

    Raises:
        SteelyardError: it is no such file, or its labels cannot be used.
    """
    raw = read_npz(path)
    part = raw.parts["train"]
    notes = tuple(f"the {split} rows in the file were left out" for split in raw.parts if split != "train")
    return array_source(
        path.name, part.inputs, part.labels, kind=raw.kind, notes=notes, max_rows=max_rows, features=features, seed=seed
    )


def array_source(
    name: str,
    inputs: Any,
    labels: Any,
    *,
    kind: str = "arrays",
    class_names: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    max_rows: int = ROWS,
    features: int | None = None,
    seed: int = 0,
) -> Source:
    """Numbers in memory.

    Args:
        name: of the data.
        inputs: numbers `[n, ...]`, an array or tensor; missing ones become the median of their column.
        labels: of the rows `[n]`, of any kind.
        kind: "arrays" or "images".
        class_names: where labels are numbers 0 to K-1 that have names.
        notes: sentences to keep.
        max_rows: rows to measure, 2 or more.
        features: columns to measure at most, drawn by chance; None for all.
        seed: of what is drawn.

    Raises:
        SteelyardError: values that are not numbers, or labels that cannot be used.

    Example:
        >>> found = array_source("mine", [[1.0, 2.0], [np.nan, 3.0], [3.0, 4.0], [4.0, 9.0]], ["a", "a", "b", "b"])
        >>> found.X.shape, found.class_names, found.counts
        ((4, 2), ('a', 'b'), (2, 2))
    """
    _check_limits(max_rows, features)
    values = np.asarray(inputs)
    if values.dtype.kind not in "biuf" or values.ndim < 2 or not values.size:
        raise ArgumentError("X", "numbers [n, d] with at least one row and one column", f"{values.dtype} {values.shape}")
    values = values.reshape(len(values), -1)
    labelled, names, y, said = _labels(np.asarray(labels), "y", class_names)
    kept = sample(y, _most(max_rows, values.shape[1], features), seed)
    X, sampled = _narrow(values[labelled[kept]], features, seed)
    X, filled = _filled(X)
    counts = tuple(np.bincount(y, minlength=len(names)).tolist())
    return _noted(Source(name, kind, "y", X, y[kept], names, counts, (), (*notes, *said, *sampled, *filled)))


def _most(max_rows: int, columns: int, features: int | None) -> int:
    """Rows that may be measured of so many columns."""
    width = columns if features is None else min(columns, features)
    return min(max_rows, max(CELLS // width, 2), WIDE if width > WIDE else max_rows)


def _check_limits(max_rows: int, features: int | None) -> None:
    if max_rows < 2:
        raise ArgumentError("max_rows", "2 or more", max_rows)
    if features is not None and features < 1:
        raise ArgumentError("features", "1 or more", features)


def _plain(column: Any) -> NDArray[Any]:
    """Labels as numpy values; columns of pandas' own types as objects with None for what is missing."""
    if isinstance(column.dtype, np.dtype):
        return np.asarray(column.to_numpy())
    return np.asarray(column.astype(object).where(column.notna(), None).to_numpy())


def _labels(
    labels: NDArray[Any], what: str, class_names: Sequence[str] | None = None
) -> tuple[Ints, tuple[str, ...], Ints, list[str]]:
    """Rows that have a label, names of the classes, class of each of these rows, and what to say about it."""
    import pandas as pd

    there = np.arange(len(labels))
    notes = []
    missing = pd.isna(labels) if labels.ndim == 1 else np.zeros(0, dtype=bool)
    if missing.any():
        there = np.flatnonzero(~missing)
        if not there.size:
            raise DataError(f"no row has a label in {what}")
        notes.append(f"{int(missing.sum()):,} of {len(labels):,} rows have no label in {what} and were left out")
    names, codes = encode_labels({"train": labels[there] if missing.any() else labels}, class_names, target=what)
    y = codes["train"].numpy()
    present, y = np.unique(y, return_inverse=True)
    return there, tuple(names[c] for c in present), y.astype(np.int64), notes


def sample(y: Ints, most: int, seed: int) -> Ints:
    """Numbers of a stratified sample of about so many rows, ascending; two of each class that has them.

    Args:
        y: classes `[n]`, 0 to K-1.
        most: rows, 1 or more.
        seed: of the draw.
    """
    if most >= y.size:
        return np.arange(y.size)
    rows = thin(torch.from_numpy(y), most, seed=derive(seed, "diagnose", "rows")).numpy()
    have = np.bincount(y[rows], minlength=int(y.max()) + 1)
    lonely = np.flatnonzero((have == 1) & (np.bincount(y) > 1))
    if lonely.size:
        rest = np.setdiff1d(np.flatnonzero(np.isin(y, lonely)), rows)
        _, first = np.unique(y[rest], return_index=True)
        rows = np.concatenate([rows, rest[first]])
    return np.sort(rows).astype(np.int64)


def _rows(file: TableFile, columns: list[str], rows: Ints, total: int) -> Frame:
    """Some rows of some columns of a file."""
    import pandas as pd

    wanted = np.zeros(total, dtype=bool)
    wanted[rows] = True
    start, parts = 0, []
    for chunk in file.chunks(columns):
        inside = wanted[start : start + len(chunk)]
        start += len(chunk)
        if inside.any():
            parts.append(chunk[inside] if not inside.all() else chunk)
    return parts[0].reset_index(drop=True) if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def _suspects(frame: Frame, y: Ints) -> list[str]:
    if frame.shape[1] > LOOKED_AT:
        return []
    return [
        f"column '{name}' tells the class exactly: leave it out with --drop {name} unless it is known before the class is"
        for name in giveaways(frame, y)[:NAMED]
    ]


def _numbers(frame: Frame, file: TableFile) -> tuple[Numbers, dict[str, str]]:
    """A table as numbers, and the columns that hold nothing."""
    left_out = {name: "no row has a value there" for name, empty in frame.isna().all().items() if empty}
    kinds = file.kinds
    plain = [name for name in frame.columns if kinds[name] in ("number", "boolean") and name not in left_out]
    known = {*plain, *left_out}
    other = [name for name in frame.columns if name not in known]
    parts = [_filled(_plain_numbers(frame[plain]))[0]]
    if other:
        least = max(len(frame) // LEVELS, 1)
        encoder = TableEncoder.fit(frame[other], missing="median", dates="parts", text="hash", least=least, kinds=kinds)
        parts.append(np.asarray(encoder.encode(frame[other], onehot=True), dtype=np.float32))
        rare = [column.name for column in encoder.categorical if column.cardinality == 0]
        left_out |= dict.fromkeys(rare, f"no category has {least} rows or more")
    X = np.concatenate(parts, axis=1)
    if not X.shape[1]:
        name, why = next(iter(left_out.items()))
        raise DataError(f"no feature column can be measured (first: '{name}', {why})")
    return X, left_out


def _plain_numbers(frame: Frame) -> NDArray[Any]:
    """Columns of numbers and truth values as float64; missing ones NaN."""
    types = [kind for kind in frame.dtypes if not isinstance(kind, np.dtype) or kind.kind not in "biuf"]
    if not types:  # all at once: a column at a time is slow for thousands of them
        block: NDArray[Any] = frame.to_numpy(dtype=np.float64)
        if not np.isinf(block).any():
            return block
    values = np.empty(frame.shape)
    for i, name in enumerate(frame.columns):
        values[:, i] = as_numbers(frame[name], name)
    return values


def _filled(values: NDArray[Any]) -> tuple[Numbers, list[str]]:
    """Columns less their median, of size 1 at most; missing and infinite values are the median then."""
    X = np.empty(values.shape, dtype=np.float32)
    lacking = 0
    width = max(4_000_000 // max(len(values), 1), 1)
    for start in range(0, values.shape[1], width):
        block = values[:, start : start + width].astype(np.float64)
        there = np.isfinite(block)
        lacking += int(there.size - there.sum())
        if not there.all():
            block[~there] = np.nan
            some = there.any(0)
            middle = np.zeros(block.shape[1])
            middle[some] = np.nanmedian(block[:, some], axis=0)
            block -= middle
            block[~there] = 0.0
        else:
            block -= np.median(block, axis=0)
        largest = np.abs(block).max(0)
        X[:, start : start + width] = block / np.where(largest > 0, largest, 1.0)
    return X, [f"{lacking:,} missing or infinite values were taken for the median of their column"] if lacking else []


def _narrow(X: NDArray[Any], features: int | None, seed: int) -> tuple[NDArray[Any], list[str]]:
    """At most so many columns, drawn by chance: a choice by what they say about the class would flatter the separability."""
    if features is None or X.shape[1] <= features:
        return X, []
    draw = np.random.default_rng(derive(seed, "diagnose", "features"))
    kept = np.sort(draw.permutation(X.shape[1])[:features])
    return X[:, kept], [f"{features:,} of {X.shape[1]:,} features were measured, drawn by chance"]


def _lines(file: TableFile, left_out: dict[str, str]) -> tuple[Json, ...]:
    """What became of each column."""
    kinds, missing = file.kinds, file.missing
    return tuple(
        {
            "name": name,
            "kind": kinds[name],
            "missing": missing[name] / file.rows,
            "used": name not in left_out,
            "note": left_out.get(name, ""),
        }
        for name in file.columns
        if name != file.target
    )


def of_all(source: Source, y: Ints) -> Source:
    """Rows that were drawn beforehand, with the counts of all rows and a note.

    Args:
        source: of the rows drawn.
        y: classes of all rows `[N]`, in the numbers of `source.class_names`.
    """
    counts = np.bincount(y, minlength=len(source.class_names))
    return _noted(replace(source, counts=tuple(counts.tolist())))


def _noted(source: Source) -> Source:
    """With a note where the rows are a sample."""
    total, n = sum(source.counts), len(source.y)
    if n == total:
        return source
    fewest = int(np.bincount(source.y).min())
    said = (
        f"a sample of {n:,} of {total:,} rows was measured (with {fewest:,} rows of its smallest class): all rows lose less to "
        "estimation than it says; --max-rows takes more, up to what so many features allow"
    )
    return replace(source, notes=(*source.notes, said))
