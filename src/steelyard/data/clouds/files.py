"""A cloud from a file, and back, by the ending of its name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from steelyard.core.errors import DataError
from steelyard.data.clouds.cloud import Cloud
from steelyard.data.clouds.las import read_las, require_laspy, write_las
from steelyard.data.clouds.ply import read_ply, write_ply
from steelyard.data.clouds.text import read_text, write_text

READERS = {
    ".las": read_las,
    ".laz": read_las,
    ".ply": read_ply,
    ".xyz": read_text,
    ".txt": read_text,
    ".asc": read_text,
    ".csv": read_text,
}
WRITERS = {
    ".las": write_las,
    ".laz": write_las,
    ".ply": write_ply,
    ".xyz": write_text,
    ".txt": write_text,
    ".asc": write_text,
    ".csv": write_text,
}


def read_cloud(path: Path | str) -> Cloud:
    """Read a LAS, LAZ, PLY or text file of points.

    Args:
        path: .las, .laz, .ply (ascii or binary), or text with x, y, z and any further columns (.xyz, .txt, .asc, .csv).

    Returns:
        The cloud, in the order of the file.

    Raises:
        DataError: no such file, another kind of file, damaged, or without x, y and z.

    Example:
        >>> read_cloud("nowhere.laz")
        Traceback (most recent call last):
        ...
        steelyard.core.errors.DataError: there is no file nowhere.laz
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if path.is_dir():
        raise DataError(f"{path} is a folder: name one file of it")
    if not path.exists():
        raise DataError(f"there is no file {path}")
    if reader is None:
        raise DataError(f"{path} is no point cloud that can be read: known endings are {', '.join(READERS)}")
    return reader(path)


def check_writable(path: Path | str) -> Path:
    """The path, if a cloud can be written under that name: asked before the work is done.

    Raises:
        DataError: an unknown ending, a folder that is not there, or a package that is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise DataError(f"a cloud cannot be written to {path}: known endings are {', '.join(WRITERS)}")
    if path.is_dir() or not path.parent.is_dir():
        wrong = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise DataError(f"a cloud cannot be written to {path}: {wrong}")
    if WRITERS[path.suffix.lower()] is write_las:
        require_laspy(path)
    return path


def write_cloud(path: Path | str, cloud: Cloud) -> Path:
    """Write a cloud with all its columns; an existing file is replaced in one step.

    LAS files keep everything that was read from one: scales, offsets, coordinate system, intensity and the rest.

    Args:
        path: the ending says in which format; see `read_cloud`.
        cloud: the points.

    Returns:
        The path.

    Raises:
        DataError: the format is not known, cannot hold a column, or the file cannot be written.
    """
    path = check_writable(path)
    draft = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        WRITERS[path.suffix.lower()](draft, cloud)
        draft.replace(path)
    except OSError as error:
        raise DataError(f"the cloud cannot be written to {path} ({error.strerror or error})") from error
    finally:
        draft.unlink(missing_ok=True)
    return path


def list_clouds(folder: Path) -> list[Path]:
    """The cloud files of a folder, in alphabetical order; hidden ones left out.

    Raises:
        DataError: there is none.
    """
    found: Iterable[Path] = (path for path in folder.iterdir() if path.suffix.lower() in READERS and path.name[0] != ".")
    paths = sorted(found)
    if not paths:
        raise DataError(f"there is no point cloud in {folder}: known endings are {', '.join(READERS)}")
    return paths
