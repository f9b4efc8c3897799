"""A table in a file of any size: what its columns hold, and its rows in chunks that all have the same types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.files import TABLE_SUFFIXES, reading, require_file, suffix_of
from steelyard.data.impression import FEWEST_HASHES, HASHES, MOST_HASHES, Impression
from steelyard.data.kinds import Column, as_kind, as_written
from steelyard.data.raw import Frame
from steelyard.data.tabular import parsing, refuse_twice, text_options

ROWS = 200_000
"""Rows of a chunk."""
SCANNED_CELLS = 4_000_000
"""Rows times columns that are looked at together when a file is opened."""


class TableFile:
    r"""A CSV, TSV or Parquet file that need not fit in memory.

    It is opened by reading it once, in chunks, to find out what each column holds; a text file with columns of which some
    chunks look like numbers and others like text is read a second time, those columns only. What is read, and how a text file
    is understood, is as in `read_table`, with these additions, each true of every row of a column:

    - pairs of words, whatever their case, are truth values: yes/no, y/n, true/false, t/f, on/off;
    - dates, also with a time, become dates: ISO 8601, and day-first, month-first and other usual forms (`dates.FORMATS`);
    - times of day become such: `13:45`, `13:45:07`, `1:45 pm`;
    - numbers with marks between thousands, a currency or a percent sign become numbers, where they can be read in one way
      only: `1.234,56`, `€ 5,00`, `12 %` (`numerals.Numerals`);
    - among numbers `?`, `-`, `.` and the like (`kinds.UNKNOWN`) are missing values.

    Args:
        path: `.csv`, `.tsv` (also with `.gz`), `.parquet` or `.pq`.
        target: column of classes; its values stay as they are in the file (no truth values, no dates).
        drop: columns to leave out.
        like: what another file's columns hold (`TableFile.schema` of the training file): the columns of this file are then
            read as those, nothing is looked for, and other columns are text. The file is not read when it is opened.

    Attributes:
        columns: their names, in order.
        notes: what a user should know about how columns were understood, a sentence each.
        identifiers: columns that name a row instead of describing it, and why each is taken for that.

    Raises:
        DataError: as `read_table`, or a column of lists, bytes or the like.
        UnknownName: the target, or a column to leave out, is not there.

    Departures:
        - A whole number beyond 64 bits is rounded to a double, as everywhere in this package.
        - Where more than 16 million values of a column are different, that none repeats is judged on a sample of the values,
          and said so in `identifiers`.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "loans.csv"
        >>> _ = path.write_text("paid,when,age\nyes,2024-01-31,31\nno,2024-02-01,\n")
        >>> file = TableFile(path)
        >>> file.kinds, file.rows
        ({'paid': 'boolean', 'when': 'date', 'age': 'number'}, 2)
        >>> [chunk["age"].tolist() for chunk in file.chunks(["age"], rows=1)]
        [[31.0], [nan]]
    """

    def __init__(
        self,
        path: str | Path,
        *,
        target: str | None = None,
        drop: Sequence[str] = (),
        like: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.path = require_file(Path(path))
        suffix = suffix_of(self.path)
        if suffix not in TABLE_SUFFIXES:
            raise DataError(f"cannot tell what {path} is from its ending; known endings: {' '.join(TABLE_SUFFIXES)}")
        with reading(self.path):
            self._reader: _Text | _Parquet = _Parquet(self.path) if suffix in (".parquet", ".pq") else _Text(self.path)
        names = self._reader.columns
        for name in ((target,) if target is not None else ()) + tuple(drop):
            if name not in names:
                raise UnknownName("column", name, names)
        if target is not None and target in drop:
            raise ArgumentError("drop", "feature columns", f"the target '{target}'")
        self.columns = tuple(name for name in names if name not in drop)
        if not self.columns:
            raise DataError(f"{path} has no columns beside those that are left out")
        self.target = target
        self.notes: tuple[str, ...] = ()
        self.identifiers: dict[str, str] = {}
        self._rows: int | None = None
        if like is not None:
            known = {name: Column.from_json(given).loosened() for name, given in like.items()}
            self._columns = {name: known.get(name) or Column(name, "category", "str") for name in self.columns}
        else:
            self._scan()

    @property
    def kinds(self) -> dict[str, str]:
        """What each column holds: "number", "boolean", "date", "time", "category" or "text"."""
        return {name: column.kind for name, column in self._columns.items()}

    @property
    def dtypes(self) -> dict[str, str]:
        """Type of each column in every chunk."""
        return {name: column.dtype for name, column in self._columns.items()}

    @property
    def missing(self) -> dict[str, int]:
        """Rows without a value by column, as found when the file was opened."""
        return {name: column.missing for name, column in self._columns.items()}

    @property
    def rows(self) -> int:
        """Rows of the file; with `like`, the file is read for that the first time."""
        if self._rows is None:
            narrow = self.columns[:1]
            self._rows = sum(len(chunk) for chunk in self._raw(narrow, ROWS, self._as_text(narrow)))
        return self._rows

    def schema(self) -> dict[str, dict[str, Any]]:
        """What each column holds as JSON values, for `like`."""
        return {name: column.to_json() for name, column in self._columns.items()}

    def chunks(self, columns: Sequence[str] | None = None, rows: int = ROWS) -> Iterator[Frame]:
        """The rows in order, as DataFrames whose columns have the same types in every one of them.

        Types are int64, float64 (where a value is missing, or fractional), bool, boolean (where a value is missing),
        datetime64, time64 of pyarrow and text; Parquet files keep the narrower number types that they have.

        Args:
            columns: names, in the order wanted; None for all.
            rows: of each chunk, 1 or more; the last one may have fewer.

        Raises:
            ArgumentError: `rows` is below 1.
            UnknownName: a column is not there.
            DataError: the file cannot be read, or a value does not fit what `like` says of its column.
        """
        wanted = self.columns if columns is None else tuple(columns)
        for name in wanted:
            if name not in self._columns:
                raise UnknownName("column", name, self.columns)
        if rows < 1:
            raise ArgumentError("rows", "1 or more", rows)
        return self._converted(wanted, rows)

    def verbatim(self, columns: Sequence[str], rows: int = ROWS) -> Iterator[Frame]:
        """The rows in order as they are in the file: text of text files ("" where it is empty), the types of Parquet files.

        Args:
            columns: names, in the order wanted; of any type, lists and bytes included.
            rows: of each chunk, 1 or more; the last one may have fewer.

        Raises:
            UnknownName: a column is not there.
            DataError: the file cannot be read.
        """
        for name in columns:
            if name not in self._columns:
                raise UnknownName("column", name, self.columns)
        with reading(self.path):
            for chunk in self._reader.verbatim(columns, rows):
                yield chunk[list(columns)].reset_index(drop=True)

    @property
    def is_text(self) -> bool:
        """Is it a text file, which does not say what types its columns have?"""
        return not self._reader.typed

    def _converted(self, wanted: Sequence[str], rows: int) -> Iterator[Frame]:
        import pandas as pd

        start, comma = 0, self._reader.separator == ";"
        for chunk in self._raw(wanted, rows, self._as_text(wanted)):
            rows_read = pd.RangeIndex(start, start + len(chunk))
            if all(map(self._is_plain, wanted, chunk.dtypes[list(wanted)])):  # a column at a time is slow for thousands of them
                yield chunk[list(wanted)].set_axis(rows_read, axis=0)
            else:
                values = {name: as_kind(chunk[name], self._columns[name], comma=comma) for name in wanted}
                yield pd.DataFrame(values).set_axis(rows_read, axis=0)
            start += len(chunk)

    def _is_plain(self, name: str, dtype: Any) -> bool:
        """Was the column read as the numbers that it should hold?"""
        return self._columns[name].kind == "number" and str(dtype) == self._columns[name].dtype in ("int64", "float64")

    def _as_text(self, columns: Sequence[str]) -> list[str]:
        if self._reader.typed:
            return []  # what is text there says so, and numbers are numbers however the training file wrote them
        return [name for name in columns if self._columns[name].is_text_in_file]

    def _raw(self, columns: Sequence[str], rows: int, as_text: Sequence[str] = ()) -> Iterator[Frame]:
        with reading(self.path):
            for chunk in self._reader.chunks(columns, rows, as_text):
                yield chunk.reset_index(drop=True)

    def _scan(self) -> None:
        separator = self._reader.separator
        found = {name: self._impression(name, separator) for name in self.columns}
        size = min(ROWS, max(1000, SCANNED_CELLS // len(self.columns)))
        rows = 0
        for chunk in self._raw(self.columns, size):
            rows += len(chunk)
            _look(found, chunk)
        if rows == 0:
            shown = ", ".join(self.columns[:6]) + (", ..." if len(self.columns) > 6 else "")
            raise DataError(f"{self.path} has a header ({shown}) but no rows")
        again = [name for name, impression in found.items() if impression.mixed]
        if again:
            found |= {name: self._impression(name, separator) for name in again}
            for chunk in self._raw(again, size, again):
                _look({name: found[name] for name in again}, chunk)
        self._columns = {name: impression.column() for name, impression in found.items()}
        self._rows = rows
        self.notes = tuple(filter(None, (impression.note() for impression in found.values())))
        reasons = {name: impression.identifier() for name, impression in found.items() if name != self.target}
        self.identifiers = {name: why for name, why in reasons.items() if why}

    def _impression(self, name: str, separator: str) -> Impression:
        return Impression(name, separator=separator, typed=self._reader.typed, verbatim=name == self.target)


def _look(found: Mapping[str, Impression], chunk: Frame) -> None:
    for name, impression in found.items():
        impression.add(chunk[name])
    open_ones = [impression for impression in found.values() if impression.unrepeated]
    for impression in open_ones:
        impression.distinct.limit = max(FEWEST_HASHES, min(MOST_HASHES, HASHES // len(open_ones)))


class _Text:
    """Chunks of a CSV or TSV file, read by pandas as `read_table` reads all of it."""

    typed = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._common, self._named = text_options(path)
        self.separator: str = self._common["sep"]
        first = next(self._read(nrows=1, chunksize=1), None)
        if first is None:
            first = self._header()
        self.columns = tuple(str(name) for name in first.columns)
        if not self.columns:
            raise DataError(f"{path} has no columns")
        refuse_twice(self.columns, str(path))

    def _header(self) -> Frame:
        import pandas as pd

        with parsing(self.path, self.separator):
            return pd.read_csv(self.path, **self._common, nrows=0)

    def _read(self, **options: Any) -> Iterator[Frame]:
        import pandas as pd

        with (
            parsing(self.path, self.separator),
            pd.read_csv(self.path, low_memory=False, **self._common, **options) as reader,
        ):
            yield from reader

    def chunks(self, columns: Sequence[str], rows: int, as_text: Sequence[str]) -> Iterator[Frame]:
        """The columns, those of `as_text` as they are written."""
        options: dict[str, Any] = {"chunksize": rows, "dtype": dict.fromkeys(as_text, "str")}
        if not self._named and len(columns) < len(self.columns):
            options["usecols"] = list(columns)
        for chunk in self._read(**options):
            yield chunk.set_axis([str(name) for name in chunk.columns], axis=1)

    def verbatim(self, columns: Sequence[str], rows: int) -> Iterator[Frame]:
        """The columns (and perhaps others), each field as it is written."""
        options: dict[str, Any] = {} if self._named else {"usecols": list(columns)}
        for chunk in self._read(chunksize=rows, dtype="str", keep_default_na=False, **options):
            yield chunk.set_axis([str(name) for name in chunk.columns], axis=1)


class _Parquet:
    """Chunks of a Parquet file; a row group's columns are read a batch at a time."""

    typed, separator = True, ","

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self.path = path
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
        index = {name for name in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)}
        self._schema = schema
        self.columns = tuple(str(name) for name in schema.names if name not in index)
        if not self.columns:
            raise DataError(f"{path} has no columns")
        refuse_twice(self.columns, str(path))

    def chunks(self, columns: Sequence[str], rows: int, as_text: Sequence[str]) -> Iterator[Frame]:
        """The columns, those of `as_text` as text."""
        for table in self._tables(columns, rows):
            yield self._frame(table, columns, as_text)

    def verbatim(self, columns: Sequence[str], rows: int) -> Iterator[Frame]:
        """The columns in the types of the file."""
        import pandas as pd

        for table in self._tables(columns, rows):
            yield table.select(list(columns)).to_pandas(ignore_metadata=True, types_mapper=pd.ArrowDtype)

    def _tables(self, columns: Sequence[str], rows: int) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path, memory_map=False, pre_buffer=False) as file:
            held: list[Any] = []
            for batch in file.iter_batches(batch_size=min(rows, ROWS), columns=list(columns)):
                held.append(batch)
                while sum(map(len, held)) >= rows:
                    table = pa.Table.from_batches(held)
                    rest = table.slice(rows)
                    yield table.slice(0, rows)
                    held = rest.to_batches() if len(rest) else []
            if held:
                yield pa.Table.from_batches(held)

    @staticmethod
    def _frame(table: Any, columns: Sequence[str], as_text: Sequence[str]) -> Frame:
        import pandas as pd
        import pyarrow as pa

        def kept(kind: Any) -> Any:
            return pd.ArrowDtype(kind) if pa.types.is_time(kind) else None  # else objects of Python's own

        frame = table.select(list(columns)).to_pandas(ignore_metadata=False, date_as_object=False, types_mapper=kept)
        frame = frame.reset_index(drop=True)
        for name in set(as_text) & set(columns):
            frame[name] = as_written(frame[name])
        return frame
