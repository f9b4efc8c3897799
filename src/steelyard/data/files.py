"""Opening what the user points at: every way in which that fails is one sentence that names the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steelyard.core.errors import DataError, SteelyardError

TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")
ARRAY_SUFFIXES = (".npz",)
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")


def suffix_of(path: Path) -> str:
    """The suffix in lower case, with what `.gz` compresses.

    Example:
        >>> suffix_of(Path("a.b/Loans.CSV.gz")), suffix_of(Path("x.parquet"))
        ('.csv.gz', '.parquet')
    """
    parts = [part.lower() for part in path.suffixes]
    return "".join(parts[-2:]) if parts[-1:] == [".gz"] else "".join(parts[-1:])


def require_file(path: Path) -> Path:
    """The path, if it is a file with content that may be read.

    Raises:
        DataError: missing, a folder, empty, or not readable.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from None
    if path.is_dir():
        raise DataError(f"{path} is a folder; a file is needed here")
    if not os.access(path, os.R_OK):
        raise DataError(f"cannot read {path} (no permission)")
    if size == 0:
        raise DataError(f"{path} is empty (0 bytes)")
    return path


def list_folder(path: Path) -> list[Path]:
    """What is in a folder, sorted by name, without hidden files and those that operating systems leave behind.

    Raises:
        DataError: missing or not readable.
    """
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise DataError(f"cannot read the folder {path} ({error.strerror})") from None
    return [entry for entry in entries if not entry.name.startswith(".") and entry.name not in ("Thumbs.db", "desktop.ini")]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a library raises while it reads `path` into one sentence."""
    try:
        yield
    except SteelyardError:
        raise
    except Exception as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(f"cannot read {path} ({said})") from error
