"""LAS and LAZ, by laspy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.data.clouds.cloud import AXES, Cloud

EXTRA = "pip install 'steelyard[points]'"
MOST_LETTERS = 32
"""Of the name of an extra dimension in the LAS format."""
SCALE = 0.001
"""Metres, of coordinates in files that had no scale of their own."""


def read_las(path: Path) -> Cloud:
    """Read a LAS or LAZ file with all its dimensions.

    Raises:
        DataError: laspy or its LAZ backend is not installed, or the file is damaged.
    """
    laspy = require_laspy(path)
    try:
        las = laspy.read(path)
    except DataError:
        raise
    except Exception as error:  # laspy and its backends have no common base
        raise DataError(f"{path} cannot be read as LAS ({_first_line(error)})") from error
    names = [name for name in las.point_format.dimension_names if name not in ("X", "Y", "Z")]
    columns = {}
    for name in names:
        values = np.asarray(las[name])
        if values.ndim == 1:
            columns[str(name)] = values
    return Cloud(np.stack([np.asarray(las[axis], np.float64) for axis in AXES], 1), columns, path.name, las)


def write_las(path: Path, cloud: Cloud) -> None:
    """Write a LAS or LAZ file: as it was read, with further columns as extra dimensions.

    Raises:
        DataError: laspy or its backend is not installed, or a column cannot be a dimension (strings; names too long).
    """
    laspy = require_laspy(path)
    las = _fresh(laspy, cloud) if cloud.original is None else _copied(laspy, cloud.original)
    present = set(las.point_format.dimension_names)
    new = {name: _storable(name, values) for name, values in cloud.columns.items() if name not in present}
    las.add_extra_dims([laspy.ExtraBytesParams(name=name, type=values.dtype) for name, values in new.items()])
    for name, values in {**cloud.columns, **new}.items():
        if name in present and cloud.original is not None and np.array_equal(values, np.asarray(cloud.original[name])):
            continue
        las[name] = values
    las.write(path)


def _fresh(laspy: Any, cloud: Cloud) -> Any:
    header = laspy.LasHeader(point_format=6, version="1.4")
    header.scales = np.full(3, SCALE)
    header.offsets = np.floor(cloud.xyz.min(0)) if len(cloud) else np.zeros(3)
    las = laspy.LasData(header)
    for axis, values in zip(AXES, cloud.xyz.T, strict=True):
        las[axis] = values
    return las


def _copied(laspy: Any, original: Any) -> Any:
    import copy

    return laspy.LasData(header=copy.deepcopy(original.header), points=original.points.copy())


def _storable(name: str, values: np.ndarray) -> np.ndarray:
    if len(name.encode()) > MOST_LETTERS:
        raise DataError(f"column '{name}' cannot be a LAS dimension: its name has more than {MOST_LETTERS} letters")
    if values.dtype.kind not in "biuf":
        raise DataError(f"column '{name}' cannot be a LAS dimension, which holds numbers: found {values.dtype}")
    return values.astype(np.uint8) if values.dtype == bool else values


def require_laspy(path: Path) -> Any:
    """The library, with what it needs for a file of that name.

    Raises:
        DataError: laspy, or for LAZ its backend, is not installed.
    """
    try:
        import laspy
    except ImportError:
        raise DataError(f"{path.name} needs laspy, which is not installed: {EXTRA}") from None
    if path.suffix.lower() == ".laz" and not laspy.LazBackend.detect_available():
        raise DataError(f"{path.name} is compressed (LAZ), and no LAZ backend of laspy is installed: {EXTRA}")
    return laspy


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
