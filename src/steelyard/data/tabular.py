"""Tables from CSV and Parquet files: reading them, finding the target, leaving out what is no feature."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.files import reading, require_file, suffix_of
from steelyard.data.raw import Frame, Part

IDENTIFIER = re.compile(
    r"(?i:(^|[_\s.-])(id|uuid|guid|index|rowid|row_?(no|nr|number))$|^(id|row)[_\s.-]|^unnamed: 0$)|[a-z](Id|ID)$"
)
NUMBERED = re.compile(r"(?i:[^_\s.-][_\s.-]+(no|nr|num|number)\.?$)|[a-z](No|Nr|Num|Number)$")
"""Names that identifiers may have, and measurements, too: an order number, an atomic number."""
NUMBERED_ROWS = 1000
"""Rows from which a column with such a name, in which nothing repeats, is taken for an identifier."""
RUNNING_ROWS = 20
"""Rows from which a column 0, 1, 2, ... is taken for a row number rather than a feature."""
MOST_GIVEAWAYS = 20
"""Values of a column that is taken to say the class; with more of them, that each goes with one class may be chance."""
SEPARATOR_WORDS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
RAGGED = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")
UNCLOSED = re.compile(r"EOF inside string starting at row (\d+)")
DECIMAL_COMMA = r"[+-]?\d*,?\d+([eE][+-]?\d+)?"
HEAD = 1 << 20
"""Bytes of a text file in which its header and its encoding are looked for."""


def read_table(path: Path) -> Frame:
    """A CSV, TSV or Parquet file as a DataFrame with text column names.

    A `.csv` file is UTF-8, or UTF-16 with a byte-order mark; its separator is the one of comma, semicolon, tab and vertical bar
    that its header line has most of. Blanks after a separator do not count. With semicolons, `1,5` is a number.

    Raises:
        DataError: missing, empty, without rows, two columns of one name, or not readable as such a file.
    """
    table = load_table(path)
    return tidy(with_decimal_commas(table.frame) if table.separator == ";" else table.frame, str(path))


class Loaded(NamedTuple):
    """A table as pandas reads it: the rows, what separates columns in a text file, and whether the file says what is text."""

    frame: Frame
    separator: str
    typed: bool


def load_table(path: Path, as_text: Sequence[str] = ()) -> Loaded:
    """A CSV, TSV or Parquet file as pandas reads it, columns of `as_text` (of a text file) as they are written.

    Raises:
        DataError: as `read_table`, but for rows and names of columns.
    """
    import pandas as pd

    require_file(path)
    with reading(path):
        if suffix_of(path) in (".parquet", ".pq"):
            return Loaded(pd.read_parquet(path), ",", True)
        options, _ = text_options(path)
        with parsing(path, options["sep"]):
            frame = pd.read_csv(path, low_memory=False, dtype=dict.fromkeys(as_text, "str"), **options)
    return Loaded(frame, options["sep"], False)


def tidy(frame: Frame, where: str) -> Frame:
    """Check that a table has rows and columns, and make its column names text.

    Raises:
        DataError: no rows, no columns, or a column name twice.
    """
    import pandas as pd

    if isinstance(frame.columns, pd.MultiIndex):
        raise DataError(f"{where} has column names of several levels: flatten them first")
    names = [str(name) for name in frame.columns]
    if not names:
        raise DataError(f"{where} has no columns")
    if len(frame) == 0:
        raise DataError(f"{where} has a header ({', '.join(names[:6])}{', ...' if len(names) > 6 else ''}) but no rows")
    refuse_twice(names, where)
    return frame.set_axis(names, axis=1).reset_index(drop=True)


def part_of(frame: Frame, target: str | None, where: str) -> Part:
    """Split a table into features and labels.

    Raises:
        ArgumentError: no target was named.
        UnknownName: it is not a column.
    """
    columns = list(frame.columns)
    if target is None:
        shown = ", ".join(columns if len(columns) <= 15 else [*columns[:10], "...", *columns[-3:]])
        raise ArgumentError("target", f"the column of classes in {where}, one of: {shown}", "nothing")
    if target not in columns:
        raise UnknownName("column", target, columns)
    labels = frame[target]
    values = labels.astype(object).to_numpy() if str(labels.dtype) == "category" else labels.to_numpy()
    return Part(frame.drop(columns=target), np.asarray(values))


def drop_columns(frame: Frame, drop: Sequence[str], target: str | None) -> Frame:
    """The table without the named columns.

    Raises:
        ArgumentError: the target is among them.
        UnknownName: one is not a column.
    """
    for name in drop:
        if name == target:
            raise ArgumentError("drop", "feature columns", f"the target '{name}'")
        if name not in frame.columns:
            raise UnknownName("column", name, [column for column in frame.columns if column != target])
    return frame.drop(columns=list(drop))


def identifiers(frame: Frame) -> dict[str, str]:
    """Columns that name a row instead of describing it, and why each is taken for that.

    A column of whole numbers or text without repetition that is called like an identifier, or, with many rows, like something
    that is numbered; a running number; text without any repetition. Found on all rows of a file, without the target.

    Example:
        >>> import pandas as pd
        >>> identifiers(pd.DataFrame({"client_id": [7, 3, 9], "income": [2, 1, 3]}))
        {'client_id': 'a different value in every row, and a name like an identifier'}
    """
    found = {}
    for name in frame.columns:
        column = frame[name]
        text = _is_text(column)
        if not (text or column.dtype.kind in "iu") or not column.is_unique:
            continue
        if is_identifiers_name(name, len(column)):
            found[name] = "a different value in every row, and a name like an identifier"
        elif text and len(column) >= RUNNING_ROWS:
            found[name] = "a different text in every row"
        elif not text and len(column) >= RUNNING_ROWS and _running(column.to_numpy()):
            found[name] = "a running number"
    return found


def is_identifiers_name(name: str, rows: int) -> bool:
    """Is a column, in which nothing repeats over so many rows, called like an identifier?

    Example:
        >>> [is_identifiers_name(name, 1000) for name in ("client_id", "Order No.", "orderNumber", "no", "width")]
        [True, True, True, False, False]
    """
    return bool(IDENTIFIER.search(name)) or (rows >= NUMBERED_ROWS and bool(NUMBERED.search(name)))


def giveaways(frame: Frame, labels: np.ndarray) -> list[str]:
    """Columns of few values each of which goes with one class only: the class in other words, or what was made from it.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"paid": ["no", "yes"] * 20, "age": range(40)})
        >>> giveaways(frame, np.array([1, 0] * 20))
        ['paid']
    """
    import pandas as pd

    if len(frame) < RUNNING_ROWS:
        return []
    codes, classes = pd.factorize(labels)
    few = max(len(classes), min(MOST_GIVEAWAYS, len(frame) // 10))
    found = []
    for name in frame.columns:
        column = frame[name]
        try:
            if column.iloc[:1000].nunique(dropna=False) > few:  # all that most columns need
                continue
            values, distinct = pd.factorize(column, use_na_sentinel=False)
        except TypeError:  # lists and the like, which are refused elsewhere
            continue
        if len(distinct) <= few and len(np.unique(values * len(classes) + codes)) == len(distinct):
            found.append(name)
    return found


def _is_text(column: Any) -> bool:
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype) or not pd.api.types.is_string_dtype(column.dtype):
        return False
    return column.dtype != object or bool(pd.api.types.infer_dtype(column, skipna=True) == "string")


def _running(values: np.ndarray) -> bool:
    return bool((np.diff(values.astype(np.int64)) == 1).all())


def text_options(path: Path) -> tuple[dict[str, Any], bool]:
    """How pandas should read a text file, and whether its rows begin with a name that the header lacks.

    Where rows have a field more than the header, pandas takes the first field for the name of the row. That is right for what R
    writes, and wrong where each row merely ends with a separator.
    """
    import pandas as pd

    separator, encoding, longer = _dialect(path)
    options: dict[str, Any] = {"sep": separator, "encoding": encoding, "skipinitialspace": True}
    if longer:
        with parsing(path, separator):
            first = pd.read_csv(path, nrows=RUNNING_ROWS, **options)
        if len(first.columns) and bool(first.iloc[:, -1].isna().all()):
            return options | {"index_col": False}, False
    return options, longer


def _dialect(path: Path) -> tuple[str, str, bool]:
    """Separator and encoding of a text file, and whether rows have a field more than the header; from its beginning.

    Raises:
        DataError: not text, or two columns of one name, which pandas would rename without a word.
    """
    suffix = suffix_of(path)
    with gzip.open(path, "rb") if suffix.endswith(".gz") else path.open("rb") as file:
        head = file.read(HEAD)
    encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in head:
        raise DataError(f"{path} is not a text file: it has zero bytes")
    text = io.StringIO(head.decode(encoding, errors="replace"), newline=None).read().lstrip("\n")  # any line ends become \n
    first = text.partition("\n")[0]
    separator = "\t" if suffix.startswith(".tsv") else max(SEPARATOR_WORDS, key=first.count)
    records = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    header = next(records, [])
    try:
        row: list[str] = next(filter(None, records), [])
    except csv.Error:  # a field of more than 128 KiB
        row = []
    refuse_twice([name for name in header if name], str(path))
    return separator, encoding, len(row) > len(header)


def refuse_twice(names: Sequence[str], where: str) -> None:
    """Refuse two columns of one name.

    Raises:
        DataError: names the first.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{where} has the column '{name}' more than once: rename one")
        seen.add(name)


@contextmanager
def parsing(path: Path, separator: str) -> Iterator[None]:
    """Turn what pandas says of a text file that is no table into a sentence that says where, and what to do.

    Raises:
        DataError: bytes that are no UTF-8, a row of more fields than the others, or a quote that is not closed.
    """
    import pandas as pd

    try:
        yield
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(
            f"{path} is not UTF-8 text (it has the byte 0x{byte:02x}): save it as UTF-8, or, if it is Latin-1 as from an older "
            "Excel, convert it with `iconv -f latin1 -t utf-8`"
        ) from None
    except pd.errors.ParserError as error:
        if ragged := RAGGED.search(str(error)):
            usual, line, found = ragged.groups()
            raise DataError(
                f"line {line} of {path} has {found} fields where those before it have {usual}: put double quotes around fields "
                f"that contain {SEPARATOR_WORDS[separator]}"
            ) from None
        if unclosed := UNCLOSED.search(str(error)):
            raise DataError(f"line {int(unclosed[1]) + 1} of {path} opens a double quote that is never closed") from None
        raise


def with_decimal_commas(frame: Frame) -> Frame:
    """The table with columns of numbers with a decimal comma read as numbers; changed in place.

    Example:
        >>> import pandas as pd
        >>> with_decimal_commas(pd.DataFrame({"a": ["1,5", "2"]}))["a"].tolist()
        [1.5, 2.0]
    """
    import pandas as pd

    for name in frame.columns:
        column = frame[name]
        if not _is_text(column):
            continue
        known = column.dropna().astype(str)
        if bool(known.str.contains(",").any()) and bool(known.str.fullmatch(DECIMAL_COMMA).all()):
            frame[name] = pd.to_numeric(column.str.replace(",", "."))
    return frame
