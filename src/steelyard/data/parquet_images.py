"""Parquet files with a column of encoded images and a column of labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.encoded import ImageColumn
from steelyard.data.files import reading, require_file, suffix_of
from steelyard.data.raw import Part

USUAL_TARGETS = ("label", "labels", "target", "class", "fine_label", "y")


def image_column_of(path: Path) -> str | None:
    """Name of a Parquet file's first column of bytes, or of {"bytes", ...} as Hugging Face writes images; None if none."""
    if suffix_of(path) not in (".parquet", ".pq"):
        return None
    import pyarrow.parquet as pq

    require_file(path)
    with reading(path):
        schema = pq.read_schema(path)
    return next((field.name for field in schema if _holds_bytes(field.type)), None)


def read_parquet_images(path: Path, target: str | None = None) -> tuple[Part, tuple[str, ...] | None, str]:
    """Encoded images with labels.

    Args:
        path: a Parquet file for which `image_column_of` finds a column.
        target: column of labels; None where there is one other column, or one that is called "label" or similar.

    Returns:
        Images and labels; class names in id order where the file's metadata have them (key `classes`: a JSON list; or the
        features that Hugging Face writes); the name of the target column.

    Raises:
        ArgumentError: no target was named and none is obvious.
        UnknownName: it is not a column.
        DataError: no rows, or empty images.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    image = image_column_of(path)
    with reading(path):
        schema = pq.read_schema(path)
        others = [name for name in schema.names if name != image]
        target = _target_among(others, target, path)
        table = pq.read_table(path, columns=[image, target])
        column = table[image].combine_chunks()
        if pa.types.is_struct(column.type):
            column = column.field("bytes")
        if isinstance(column, pa.ChunkedArray):
            column = column.cast(pa.large_binary()).combine_chunks()
        labels = np.asarray(
            table[target].to_pandas().astype(object) if _is_dictionary(table[target]) else table[target].to_pandas()
        )
    if len(labels) == 0:
        raise DataError(f"{path} has a header but no rows")
    lengths = pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
    empty = np.flatnonzero(lengths == 0)
    if len(empty):
        raise DataError(
            f"{path} has {len(empty)} empty images (0 bytes) in column '{image}', the first in row {empty[0]}: remove them"
        )
    return Part(ImageColumn(column, f"{path}, column '{image}'"), labels), _class_names(schema, target), target


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_dictionary(column: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_dictionary(column.type))


def _target_among(columns: list[str], target: str | None, path: Path) -> str:
    if target is not None:
        if target not in columns:
            raise UnknownName("column", target, columns)
        return target
    likely = columns if len(columns) == 1 else [name for name in columns if name.lower() in USUAL_TARGETS]
    if len(likely) != 1:
        raise ArgumentError("target", f"the column of classes in {path}, one of: {', '.join(columns) or '(none)'}", "nothing")
    return likely[0]


def _class_names(schema: Any, target: str) -> tuple[str, ...] | None:
    metadata = schema.metadata or {}
    try:
        if b"classes" in metadata:
            names = json.loads(metadata[b"classes"])
        elif b"huggingface" in metadata:
            names = json.loads(metadata[b"huggingface"])["info"]["features"][target].get("names")
        else:
            return None
    except (ValueError, KeyError, AttributeError):
        return None
    return tuple(str(name) for name in names) if isinstance(names, list) and names else None
