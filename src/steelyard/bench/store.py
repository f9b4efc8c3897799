"""The runs of a comparison as rows of a DuckDB file: what has been measured, to be asked in SQL.

The file is a view of `runs/*/result.json`, which are written first: it can always be made again from them.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from steelyard.bench.records import Record, read_result, to_plain, with_nan
from steelyard.core.errors import CheckpointError

SCHEMA: Final = 1
"""Version of the table; written into the file."""

COLUMNS: Final[Mapping[str, str]] = {
    "run_id": "VARCHAR PRIMARY KEY",
    "problem": "VARCHAR NOT NULL",
    "method": "VARCHAR NOT NULL",
    "regime": "VARCHAR NOT NULL",
    "seed": "BIGINT NOT NULL",
    "settings": "JSON",
    "metrics": "JSON",
    "selected_metrics": "JSON",
    "intervals": "JSON",
    "seconds": "DOUBLE",
    "seconds_per_step": "DOUBLE",
    "steps": "BIGINT",
    "peak_memory_mb": "DOUBLE",
    "versions": "JSON",
    "git_commit": "VARCHAR",
    "device": "VARCHAR",
    "started_at": "VARCHAR",
    "finished_at": "VARCHAR",
    "folder": "VARCHAR",
}
"""The table `runs`; times are ISO 8601, which sorts as text."""

DAMAGE: Final = (
    "not a valid DuckDB",
    "corrupt",
    "checksum",
    "Could not read enough bytes",
    "erializ",
    "version number",
    "replaying WAL",
    "INTERNAL Error",
)
"""What DuckDB says of a file whose content is wrong, as opposed to one that cannot be reached, written or locked."""

PATIENCE_SECONDS: Final = 5.0
"""How long to wait for another process to close the file."""

T = TypeVar("T")


class DamagedStoreWarning(UserWarning):
    """A store's file was damaged and has been made again from the result files."""


class DamagedResultWarning(UserWarning):
    """A result file cannot be read and its run is not in the store."""


class Store:
    """The table of finished runs in one file.

    The file is open only during a call, so that others can read it between calls. A damaged file is named in a
    `DamagedStoreWarning`, kept aside with the ending `.corrupt`, and made again from `runs/*/result.json` beside it.

    Args:
        path: the DuckDB file; it and its folder are made when needed.

    Raises:
        CheckpointError: the file cannot be opened, is in use, or was written by a later version.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> run = {"run_id": "0a1b", "problem": "digits", "method": "ce", "regime": "quick", "seed": 0}
        >>> with Store(folder / "runs.duckdb") as store:
        ...     store.add(run | {"metrics": {"accuracy": 0.9}})
        ...     [(row["method"], row["metrics"]["accuracy"]) for row in store.runs()]
        [('ce', 0.9)]
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"store {self.path} cannot be made ({error.strerror or error})") from None
        self._do(lambda connection: None)

    def add(self, record: Mapping[str, Any]) -> None:
        """Insert a finished run, or replace the row with its `run_id`.

        Args:
            record: as in `result.json`; fields that are not columns are left out.

        Raises:
            CheckpointError: the row cannot be written.
        """
        row = _row(record)
        self._do(lambda connection: _insert(connection, [row]))

    def ingest(self, folder: Path | str | None = None) -> list[str]:
        """Insert the finished runs of a folder that the table lacks, and return their ids.

        A run that ended in the moment between its `result.json` and its row is picked up here.

        Args:
            folder: has `runs/<run_id>/result.json`; the store's own folder by default.
        """
        known = set(self._do(lambda connection: [row[0] for row in connection.execute("SELECT run_id FROM runs").fetchall()]))
        rows = [row for row in _results(self.path.parent if folder is None else Path(folder)) if row["run_id"] not in known]
        if rows:
            self._do(lambda connection: _insert(connection, rows))
        return [row["run_id"] for row in rows]

    def runs(self) -> list[Record]:
        """All rows as dictionaries by problem, regime, method and seed; metrics that are undefined are NaN."""
        rows = self._do(_select)
        for row in rows:
            for name, kind in COLUMNS.items():
                if kind == "JSON" and row[name] is not None:
                    row[name] = json.loads(row[name])
        return [with_nan(row) for row in rows]

    def table(self) -> Any:
        """All rows as a `pyarrow.Table`, with JSON as text."""
        import pyarrow as pa

        text, numbers = pa.string(), {"BIGINT": pa.int64(), "DOUBLE": pa.float64()}
        schema = pa.schema([(name, numbers.get(kind.split()[0], text)) for name, kind in COLUMNS.items()])
        return pa.Table.from_pylist(self._do(_select), schema=schema)

    def close(self) -> None:
        """Nothing is held between calls; here for `with` and for symmetry."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _do(self, work: Callable[[Any], T]) -> T:
        """Do something with an open connection; once more on a new file if this one proves damaged."""
        import duckdb

        try:
            return self._attempt(work)
        except duckdb.Error as error:
            reason = " ".join(str(error).split())
            if not any(sign in reason for sign in DAMAGE):
                raise CheckpointError(f"store {self.path} cannot be used ({reason})") from None
            self._rebuild(reason)
        try:
            return self._attempt(work)
        except duckdb.Error as error:
            raise CheckpointError(f"store {self.path} cannot be used ({' '.join(str(error).split())})") from None

    def _attempt(self, work: Callable[[Any], T]) -> T:
        connection = self._connect()
        try:
            self._prepare(connection)
            return work(connection)
        finally:
            connection.close()

    def _connect(self) -> Any:
        """Open the file; wait a little while another process has it."""
        import duckdb

        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return duckdb.connect(str(self.path), config={"threads": 1})
            except duckdb.IOException as error:
                if "lock" not in str(error):
                    raise
                if time.monotonic() > until:
                    raise CheckpointError(
                        f"store {self.path} is in use by another process; close it there and try again"
                    ) from None
            time.sleep(0.05)

    def _prepare(self, connection: Any) -> None:
        """Make the tables of a new file, or check the version of an old one."""
        names = {row[0] for row in connection.execute("SELECT table_name FROM information_schema.tables").fetchall()}
        if "schema_version" in names:
            found = connection.execute("SELECT max(version) FROM schema_version").fetchone()[0]
            if found != SCHEMA:
                raise CheckpointError(
                    f"store {self.path} has tables of version {found} and this steelyard knows version {SCHEMA}; "
                    "use the steelyard that wrote it, or remove the file to have it made again from the result files"
                )
            return
        if names:
            raise CheckpointError(f"{self.path} is a DuckDB file but not a store of runs; choose another folder")
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        # One transaction: a kill in between leaves an empty file, and not one without a version.
        connection.execute("BEGIN")
        connection.execute(f"CREATE TABLE runs ({columns})")
        connection.execute("CREATE TABLE schema_version (version INTEGER)")
        connection.execute("INSERT INTO schema_version VALUES (?)", [SCHEMA])
        connection.execute("COMMIT")

    def _rebuild(self, reason: str) -> None:
        """Put the damaged file aside and fill a new one from the result files."""
        aside = self.path.with_name(self.path.name + ".corrupt")
        number = 1
        while aside.exists():
            number += 1
            aside = self.path.with_name(f"{self.path.name}.corrupt-{number}")
        log = self.path.with_name(self.path.name + ".wal")
        try:
            self.path.rename(aside)
            if log.exists():
                # It belongs to the old file: DuckDB would replay it into the new one.
                log.rename(aside.with_name(aside.name + ".wal"))
        except OSError as error:
            raise CheckpointError(f"store {self.path} is damaged and cannot be put aside ({error.strerror or error})") from None
        rows = list(_results(self.path.parent))
        self._attempt(lambda connection: _insert(connection, rows))
        warnings.warn(
            f"store {self.path} was damaged ({reason}); it was kept as {aside.name} and made again from the {len(rows)} result "
            "files beside it",
            DamagedStoreWarning,
            stacklevel=4,
        )


def _insert(connection: Any, rows: list[Record]) -> None:
    """All rows in one transaction."""
    marks = ", ".join("?" for _ in COLUMNS)
    connection.execute("BEGIN")
    for row in rows:
        connection.execute(f"INSERT OR REPLACE INTO runs VALUES ({marks})", list(row.values()))
    connection.execute("COMMIT")


def _select(connection: Any) -> list[Record]:
    found = connection.execute("SELECT * FROM runs ORDER BY problem, regime, method, seed, run_id").fetchall()
    return [dict(zip(COLUMNS, row, strict=True)) for row in found]


def _row(record: Mapping[str, Any]) -> Record:
    """The columns of a record, JSON as text."""
    missing = [name for name, kind in COLUMNS.items() if ("NOT NULL" in kind or "KEY" in kind) and record.get(name) is None]
    if missing:
        raise CheckpointError(f"record of a run cannot be stored: it has no {', '.join(missing)}")
    row = {name: to_plain(record.get(name)) for name in COLUMNS}
    as_text = {name: json.dumps(row[name]) for name, kind in COLUMNS.items() if kind == "JSON" and row[name] is not None}
    return row | as_text


def _results(folder: Path) -> list[Record]:
    """The rows of all readable results under a folder; unreadable ones are named in a warning."""
    rows = []
    for path in sorted((folder / "runs").glob("*/result.json")):
        try:
            rows.append(_row(read_result(path)))
        except CheckpointError as error:
            warnings.warn(f"{error}; its run counts as not finished", DamagedResultWarning, stacklevel=3)
    return rows
