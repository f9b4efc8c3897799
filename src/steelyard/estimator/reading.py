"""A table in a file made ready for training: rows split, columns chosen, encoded chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steelyard.core.counts import count
from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.core.seeds import derive
from steelyard.data.encoder import TableEncoder
from steelyard.data.labels import encode_labels
from steelyard.data.raw import Frame
from steelyard.data.splits import by_group, by_time, hold_out, refuse_singletons
from steelyard.data.table_file import ROWS, TableFile
from steelyard.data.tabular import giveaways
from steelyard.problems._partition import parse_split

HELD_CELLS = 20_000_000
"""Values of a file up to which it is kept in memory after it is first read."""
VALID_FRACTION = 0.15
"""Of the rows that are not test rows, held out for calibration where the split is by time or by group."""

Json = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True)
class FileRequest:
    """What is wanted of a file.

    Attributes:
        path: a CSV, TSV or Parquet file.
        target: its column of classes.
        test: a file with the test rows; None to cut them from `path`.
        split: "random" (by class), "time:COL" (the last rows are test rows; "keep-time:COL" keeps COL as a feature) or
            "group:COL" (no group is in two splits).
        test_fraction: of the rows, where they are cut.
        drop: columns to leave out.
        seed: of the split.
    """

    path: Path
    target: str
    test: Path | None = None
    split: str = "random"
    test_fraction: float = 0.2
    drop: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what can be checked without the file."""
        parse_split(self.split)
        if not 0 < self.test_fraction < 1:
            raise ArgumentError("test_fraction", "between 0 and 1", self.test_fraction)
        if self.test is not None and self.split != "random":
            raise ArgumentError("split", "left out, as the test rows are in a file of their own", repr(self.split))
        if self.test is not None and self.test.resolve() == self.path.resolve():
            raise ArgumentError("test", "another file than that of the training rows", str(self.test))

    @property
    def by(self) -> tuple[str, str]:
        """Rule of the split and its column."""
        return parse_split(self.split)


@dataclass
class FileTable:
    """A file's rows, numbered from 0 (those of a separate test file after those of the file), and what becomes of them.

    Attributes:
        files: the file, and the test file where there is one.
        features: columns to learn from.
        classes: labels `[C]` in the type that they have in the file.
        class_names: labels as text `[C]`.
        target: classes `[N]`.
        train: row numbers to learn from.
        valid: row numbers held out for calibration; None where training decides.
        test: row numbers to judge by.
        split: how rows were split, in words.
        notes: what a user should know.
        left_out: columns that are not used, and why.
    """

    files: tuple[TableFile, ...]
    features: list[str]
    classes: np.ndarray
    class_names: tuple[str, ...]
    target: Tensor
    train: Tensor
    valid: Tensor | None
    test: Tensor
    split: str
    notes: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    _held: Frame | None = None

    def chunks(self) -> Iterator[tuple[int, Frame]]:
        """All rows in order: number of the first row, and features."""
        if self._held is not None:
            for start in range(0, len(self._held), ROWS):
                yield start, self._held.iloc[start : start + ROWS]
            return
        start = 0
        for file in self.files:
            for chunk in file.chunks(self.features):
                yield start, chunk
                start += len(chunk)

    def hold(self) -> None:
        """Keep the rows in memory, if they are few."""
        import pandas as pd

        if len(self.target) * len(self.features) <= HELD_CELLS:
            self._held = pd.concat([chunk for _, chunk in self.chunks()], ignore_index=True)

    def of(self, rows: Tensor) -> Iterator[Frame]:
        """Some of the rows, in order, in chunks."""
        wanted = _mask(rows, len(self.target))
        for start, chunk in self.chunks():
            inside = wanted[start : start + len(chunk)]
            if inside.any():
                yield chunk[inside] if not inside.all() else chunk

    def encode(self, encoder: TableEncoder, *, onehot: bool) -> Tensor | dict[str, Tensor]:
        """All rows encoded: as `TableEncoder.encode` gives them, put together without a second copy."""
        whole: dict[str, Tensor] = {}
        for start, chunk in self.chunks():
            inputs = encoder.encode(chunk, onehot=onehot)
            parts = inputs if not isinstance(inputs, Tensor) else {"": inputs}
            for name, values in parts.items():
                if name not in whole:
                    whole[name] = values.new_empty((len(self.target), *values.shape[1:]))
                whole[name][start : start + len(chunk)] = values
        return whole.pop("") if list(whole) == [""] else whole

    def counts(self) -> dict[str, list[int]]:
        """Rows of each class by split."""
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: count(self.target[rows], len(self.classes)).tolist() for name, rows in parts.items() if rows is not None}

    def columns(self, encoder: TableEncoder) -> list[Json]:
        """What a report says about each column."""
        file, lines, used = self.files[0], [], set(encoder.columns())
        kinds, missing = file.kinds, file.missing
        for name in file.columns:
            if name == file.target:
                continue
            note = self.left_out.get(name) or encoder.left_out.get(name, "")
            lines.append(
                {
                    "name": name,
                    "kind": kinds[name],
                    "missing": missing[name] / file.rows,
                    "used": name in used,
                    "note": note,
                }
            )
        return lines


def read_for_training(request: FileRequest, say: Say = lambda text: None) -> FileTable:
    """Find out what a file holds, number its classes and decide which rows train and which test.

    Columns that name rows (identifiers) are left out, as is the column of the split.

    Raises:
        SteelyardError: anything that keeps the file from being learnt from, in one sentence.
    """
    say(f"reading {request.path}")
    kind, by = request.by
    file = TableFile(request.path, target=request.target, drop=request.drop)
    if by and by not in file.columns:
        raise UnknownName("column", by, [name for name in file.columns if name != request.target])
    if by == request.target:
        raise ArgumentError("split", "a column other than the target", repr(request.split))
    files = (file,) if request.test is None else (file, _test_file(request, file))
    labels, values = _labels_and(files, request.target, by)
    class_names, target, classes = _classes_of(labels, request.target)
    left_out = dict(file.identifiers)
    if by and kind != "keep-time":
        left_out[by] = f"rows are split by this {kind}"
    features = [name for name in file.columns if name != request.target and name not in left_out]
    if not features:
        raise DataError(f"no feature columns are left to learn from beside the target '{request.target}'")
    train, valid, test = _split(request, target, class_names, values, files)
    words = "random, by class" if kind == "random" else f"by {kind.removeprefix('keep-')} (column {by})"
    table = FileTable(
        files, features, classes, class_names, target, train, valid, test,
        words if request.test is None else f"test rows from {request.test}", list(file.notes), left_out,
    )  # fmt: skip
    table.notes += [f"column '{name}' was left out: {why}" for name, why in left_out.items()]
    table.hold()
    table.notes += _suspects(table)
    return table


def _test_file(request: FileRequest, file: TableFile) -> TableFile:
    assert request.test is not None
    try:
        other = TableFile(request.test, target=request.target, like=file.schema())
    except UnknownName:  # the only name that it is asked for
        raise DataError(f"the test rows ({request.test}) have no column '{request.target}', which is the target") from None
    absent = [name for name in file.columns if name not in other.columns and name not in file.identifiers]
    if absent:
        raise DataError(f"the test rows ({request.test}) have no column '{absent[0]}', which {request.path} has")
    return other


def _labels_and(files: tuple[TableFile, ...], target: str, by: str) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Labels of the file and the test file as found, and the values that rows are split by."""
    found: dict[str, np.ndarray] = {}
    values = []
    for split, file in zip(("train", "test"), files, strict=False):
        parts = []
        for chunk in file.chunks([target, by] if by else [target]):
            parts.append(_plain(chunk[target]))
            if by:
                values.append(chunk[by].to_numpy())
        found[split] = np.concatenate(parts) if parts else np.empty(0, dtype=object)
    return found, np.concatenate(values) if values else None


def _plain(column: Any) -> np.ndarray:
    """Labels as numpy values; columns of pandas' own types as objects with NaN for what is missing."""
    if isinstance(column.dtype, np.dtype):
        return np.asarray(column.to_numpy())
    return np.asarray(column.astype(object).where(column.notna(), None).to_numpy())


def _classes_of(labels: dict[str, np.ndarray], target: str) -> tuple[tuple[str, ...], Tensor, np.ndarray]:
    names, codes = encode_labels(labels, target=f"column '{target}'")
    kind = labels["train"].dtype.kind
    classes: np.ndarray = np.array(names, dtype=object)
    if kind in "iu" or (kind == "f" and all(name.lstrip("-").isdigit() for name in names)):
        classes = np.array([int(name) for name in names])
    elif kind == "f":
        classes = np.array([float(name) for name in names])
    elif kind == "b":
        classes = np.array([name == "True" for name in names])
    return names, torch.cat([codes[split] for split in labels]), classes


def _split(
    request: FileRequest,
    target: Tensor,
    class_names: tuple[str, ...],
    values: np.ndarray | None,
    files: tuple[TableFile, ...],
) -> tuple[Tensor, Tensor | None, Tensor]:
    rest = 1 - request.test_fraction
    fractions = (rest * (1 - VALID_FRACTION), rest * VALID_FRACTION, request.test_fraction)
    if len(files) == 2:
        first = files[0].rows
        return torch.arange(first), None, torch.arange(first, len(target))
    if values is None:
        refuse_singletons(target, class_names)
        train, test = hold_out(target, request.test_fraction, seed=derive(request.seed, "test"))
        return train, None, test
    if request.by[0] != "group":
        cut = by_time(values, fractions, target=target, class_names=class_names, what=f"column '{request.by[1]}'")
    else:
        seed, what = derive(request.seed, "test"), f"column '{request.by[1]}'"
        cut = by_group(values, target, fractions, seed=seed, class_names=class_names, what=what)
    return cut.train, cut.valid, cut.test


def _suspects(table: FileTable) -> list[str]:
    """Notes on columns that tell the class exactly, which nothing known beforehand does."""
    number, rows = table.target.numpy(), _mask(table.train, len(table.target))
    suspects: list[str] | None = None
    seen: dict[str, dict[Any, int]] = {}
    for start, chunk in table.chunks():
        inside = rows[start : start + len(chunk)]
        part, labels = chunk[inside], number[start : start + len(chunk)][inside]
        if suspects is None:
            if not len(part):
                continue
            suspects = giveaways(part, labels)
            seen = {name: {} for name in suspects}
        suspects = [name for name in suspects if _consistent(part[name], labels, seen[name])]
        if not suspects:
            return []
    return [
        f"column '{name}' tells the class exactly, so the scores will look perfect: leave it out with --drop {name} unless it "
        "is known before the class is"
        for name in suspects or ()
    ]


def _consistent(column: Any, labels: np.ndarray, seen: dict[Any, int]) -> bool:
    """Does every value of a column still go with one class only? Takes in what is new."""
    import pandas as pd

    pairs = pd.DataFrame({"value": column.to_numpy(), "class": labels}).drop_duplicates()
    for value, label in zip(pairs["value"], pairs["class"], strict=True):
        key = None if pd.isna(value) else value
        if seen.setdefault(key, label) != label or len(seen) > 100:
            return False
    return True


def _mask(rows: Tensor, total: int) -> np.ndarray:
    mask = np.zeros(total, dtype=bool)
    mask[rows.numpy()] = True
    return mask
