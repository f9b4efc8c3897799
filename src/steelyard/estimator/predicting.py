"""Rows of a file, scored by a fitted model chunk by chunk: what `steelyard predict` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError, DataError, UnknownName, nearest
from steelyard.data.files import suffix_of
from steelyard.data.labels import label_name
from steelyard.data.raw import Frame
from steelyard.data.table_file import TableFile
from steelyard.estimator.kept_columns import columns_beside
from steelyard.estimator.table_model import Prior, TableModel

PARQUET = (".parquet", ".pq")
OUT_SUFFIXES = (".csv", ".csv.gz", *PARQUET)
DECISION, SPREAD = "prediction", "spread"
CHUNK = 100_000
"""Rows that are read, scored and written at a time."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Predicted:
    """What was done.

    Attributes:
        rows: scored.
        decided: rows decided to be of each class, by label as text.
        prior: the class mix that the probabilities answer for `[C]`.
        unseen: values by column that the training rows did not have, where there are any.
        absent: columns of the training file that the model does not use and these rows do not have.
    """

    rows: int
    decided: dict[str, int]
    prior: np.ndarray
    unseen: dict[str, int]
    absent: tuple[str, ...] = ()


def predict_file(
    model: TableModel,
    path: Path,
    out: Path,
    *,
    prior: Prior = None,
    keep: Sequence[str] = (),
    spread: bool = False,
    say: Say = lambda text: None,
) -> Predicted:
    """Score every row of a file.

    Written are the kept columns, "prediction", a column "probability_CLASS" a class and, where asked for, "spread": the
    standard deviation over members of the probability of the decided class. Rows stay in order. The file appears when it is
    whole.

    Args:
        model: fitted by `steelyard.estimator.fitting.fit_file`, or by the estimator.
        path: a CSV, TSV or Parquet file with the columns that the model uses; others are ignored.
        out: a CSV or Parquet file to write.
        prior: class mix where the model is used (see `TableModel.predict_proba`); "em" estimates it from these very rows,
            for which the file is read twice.
        keep: columns of the file to write too; `("*",)` for all.
        spread: say how far the members disagree.
        say: told what is going on.

    Raises:
        DataError: the file lacks a column, or has values of another kind.
        UnknownName: a column to keep is not there.
    """
    suffix = suffix_of(out)
    if suffix not in OUT_SUFFIXES:
        raise ArgumentError("out", f"a file that ends in {', '.join(OUT_SUFFIXES)}", out.name)
    if out.exists() and path.exists() and out.samefile(path):
        raise ArgumentError("out", f"another file than {path}, whose rows would be lost", "the same")
    names = [label_name(label) for label in model.classes.tolist()]
    if len(set(names)) < len(names):
        names = [f"{name}_{i}" for i, name in enumerate(names)]
    file = TableFile(path, like=model.facts.get("schema"))
    _refuse_absent(model, file)
    kept = _kept(file, keep, [DECISION, SPREAD, *(f"probability_{name}" for name in names)])
    beside = columns_beside(file, kept, CHUNK, typed=suffix in PARQUET)
    shift = None if prior is None else _shift(model, file, prior, say)
    target = model.prior if shift is None else np.asarray(shift.target_prior, dtype=np.float64)
    counts, unseen, rows = np.zeros(len(names), dtype=np.int64), dict[str, int](), 0
    with _writer(out, suffix) as write:
        for chunk, others in zip(file.chunks(model.encoder.columns(), rows=CHUNK), beside, strict=False):
            if not len(chunk):
                break
            inputs = model.encode(chunk)
            proba = model.proba_of(inputs)
            decided = model.decided(proba, shift)
            shifted = proba if shift is None else shift.proba(proba)
            columns: dict[str, Any] = {name: others[name].array for name in kept}
            columns[DECISION] = model.classes[decided]
            columns |= {f"probability_{name}": shifted[:, c] for c, name in enumerate(names)}
            if spread:
                columns[SPREAD] = model.spread_of(inputs)[np.arange(len(chunk)), decided]
            write(_frame(columns))
            counts += np.bincount(decided, minlength=len(names))
            for name, number in model.encoder.unseen(chunk).items():
                unseen[name] = unseen.get(name, 0) + number
            rows += len(chunk)
            say(f"{rows:,} rows")
        if rows == 0:
            raise DataError(f"{path} has no rows")
    absent = tuple(name for name in model.facts.get("unused", ()) if name not in file.columns)
    decisions = dict(zip(names, counts.tolist(), strict=True))
    return Predicted(rows, decisions, target, {name: number for name, number in unseen.items() if number}, absent)


def _refuse_absent(model: TableModel, file: TableFile) -> None:
    absent = [name for name in model.encoder.columns() if name not in file.columns]
    if absent:
        close = nearest(absent[0], [name for name in file.columns if name not in model.encoder.columns()], most=1)
        hint = f" (should '{close[0]}' be called that?)" if close else ""
        others = f" and {len(absent) - 1} more column{'s' * (len(absent) > 2)}" if len(absent) > 1 else ""
        raise DataError(f"{file.path} has no column '{absent[0]}'{others}, which the model was fitted on{hint}")


def _shift(model: TableModel, file: TableFile, prior: Prior, say: Say) -> Any:
    """The shift to another class mix; to estimate it, all rows are scored first."""
    proba = None
    if isinstance(prior, str) and prior == "em":
        say("estimating the class mix")
        columns = model.encoder.columns()
        parts = [model.predict_proba(chunk) for chunk in file.chunks(columns, rows=CHUNK)]
        if not sum(map(len, parts)):
            raise DataError(f"{file.path} has no rows")
        proba = np.concatenate(parts)
    return model.prior_shift(prior, proba)


def _kept(file: TableFile, keep: Sequence[str], written: Sequence[str]) -> list[str]:
    kept = list(file.columns) if list(keep) == ["*"] else list(dict.fromkeys(keep))
    for name in kept:
        if name not in file.columns:
            raise UnknownName("column", name, file.columns)
        if name in written:
            raise ArgumentError(
                "keep", f"columns other than those that are written ({', '.join(written[:4])}, ...)", f"'{name}'"
            )
    return kept


def _frame(columns: dict[str, Any]) -> Frame:
    import pandas as pd

    return pd.DataFrame(columns, copy=False)


@contextmanager
def _writer(out: Path, suffix: str) -> Iterator[Callable[[Frame], None]]:
    """Something that appends frames to a file, which takes its place when all is written."""
    draft = out.with_name(f".{os.getpid()}.{out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with _parquet(draft) if suffix in PARQUET else _csv(draft) as write:
            yield write
        os.replace(draft, out)
    except OSError as error:
        raise DataError(f"cannot write {out} ({error.strerror or error}): make room or choose another file") from error
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _csv(path: Path) -> Iterator[Callable[[Frame], None]]:
    import gzip

    packed = path.suffix == ".gz"
    with (
        gzip.open(path, "wt", encoding="utf-8", newline="") if packed else path.open("w", encoding="utf-8", newline="") as file
    ):
        first = True

        def write(frame: Frame) -> None:
            nonlocal first
            frame.to_csv(file, index=False, header=first)
            first = False

        yield write


@contextmanager
def _parquet(path: Path) -> Iterator[Callable[[Frame], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: Any = None

    def write(frame: Frame) -> None:
        nonlocal writer
        if writer is None:
            table = pa.Table.from_pandas(frame, preserve_index=False)
            writer = pq.ParquetWriter(path, table.schema)
        else:
            table = pa.Table.from_pandas(frame, schema=writer.schema, preserve_index=False)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
