"""PLY, ascii and binary: the vertices and their scalar properties."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steelyard.core.errors import DataError
from steelyard.data.clouds.cloud import AXES, Cloud

TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip
NAMES = {"i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint", "f4": "float", "f8": "double"}
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: list[tuple[str, str]]
    """Name and NumPy type; the type is "list" for lists, of which no length is known."""


def read_ply(path: Path) -> Cloud:
    """Read the vertices of a PLY file; faces and other elements after them are left alone.

    Raises:
        DataError: no PLY file, cut off, without x, y and z, or with lists before the vertices.
    """
    content = path.read_bytes()
    order, elements, start = _header(path, content)
    names = [element.name for element in elements]
    if "vertex" not in names:
        raise DataError(f"{path} has no vertices: its elements are {', '.join(names) or 'none'}")
    before, vertex = elements[: names.index("vertex")], elements[names.index("vertex")]
    if any(kind == "list" for element in (*before, vertex) for _, kind in element.properties):
        raise DataError(f"{path} has lists in or before its vertices, which cannot be read: write it again without them")
    table = (
        _ascii(path, content[start:], before, vertex) if order == "" else _binary(path, content, start, order, before, vertex)
    )
    missing = [axis for axis in AXES if axis not in table]
    if missing:
        raise DataError(f"the vertices of {path} have no '{missing[0]}': they have {', '.join(table) or 'nothing'}")
    xyz = np.stack([table.pop(axis).astype(np.float64) for axis in AXES], 1)
    return Cloud(xyz, table, path.name)


def _header(path: Path, content: bytes) -> tuple[str, list[_Element], int]:
    """Byte order ("" for text), elements, and where the data begin."""
    end = content.find(b"end_header")
    newline = content.find(b"\n", end)
    if not content.startswith(b"ply") or end < 0 or newline < 0:
        raise DataError(f"{path} is no PLY file: it does not begin with a PLY header")
    order, elements = None, list[_Element]()
    for line in content[:end].decode("ascii", "replace").splitlines()[1:]:
        words = line.split()
        try:
            if words[:1] == ["format"]:
                order = ORDERS[words[1]]
            elif words[:1] == ["element"]:
                elements.append(_Element(words[1], int(words[2]), []))
            elif words[:2] == ["property", "list"]:
                elements[-1].properties.append((words[4], "list"))
            elif words[:1] == ["property"]:
                elements[-1].properties.append((words[2], TYPES[words[1]]))
        except (KeyError, IndexError, ValueError):
            raise DataError(f"{path} has a PLY header that cannot be read: '{line.strip()}'") from None
    if order is None:
        raise DataError(f"{path} has a PLY header without a format line")
    return order, elements, newline + 1


def _binary(
    path: Path, content: bytes, start: int, order: str, before: list[_Element], vertex: _Element
) -> dict[str, np.ndarray]:
    start += sum(element.count * _record(element, order).itemsize for element in before)
    record = _record(vertex, order)
    if len(content) < start + vertex.count * record.itemsize:
        raise DataError(f"{path} is cut off: it should hold {vertex.count:,} vertices")
    found = np.frombuffer(content, record, vertex.count, start)
    return {name: found[name].astype(found[name].dtype.newbyteorder("=")) for name, _ in vertex.properties}


def _record(element: _Element, order: str) -> np.dtype:
    return np.dtype([(name, order + kind) for name, kind in element.properties])


def _ascii(path: Path, body: bytes, before: list[_Element], vertex: _Element) -> dict[str, np.ndarray]:
    lines = [line for line in body.decode("ascii", "replace").splitlines() if line.strip()]
    skipped = sum(element.count for element in before)
    lines = lines[skipped : skipped + vertex.count]
    if len(lines) < vertex.count:
        raise DataError(f"{path} is cut off: it should hold {vertex.count:,} vertices")
    try:
        values = np.array(" ".join(lines).split(), np.float64).reshape(vertex.count, len(vertex.properties))
    except ValueError:
        raise DataError(f"{path} has vertices that are not {len(vertex.properties)} numbers each") from None
    return {name: values[:, i].astype(kind) for i, (name, kind) in enumerate(vertex.properties)}


def write_ply(path: Path, cloud: Cloud) -> None:
    """Write a binary PLY file: coordinates as doubles, further columns in their own types.

    Raises:
        DataError: a column is no numbers, or has a name with a space.
    """
    columns = {axis: cloud.xyz[:, i] for i, axis in enumerate(AXES)} | dict(cloud.columns)
    kinds = {name: _kind(name, values) for name, values in columns.items()}
    table = np.empty(len(cloud), np.dtype([(name, "<" + kind) for name, kind in kinds.items()]))
    for name, values in columns.items():
        table[name] = values
    properties = "".join(f"property {NAMES[kind]} {name}\n" for name, kind in kinds.items())
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(cloud)}\n{properties}end_header\n"
    path.write_bytes(header.encode("ascii") + table.tobytes())


def _kind(name: str, values: np.ndarray) -> str:
    if values.dtype.kind not in "biuf" or not name.isascii() or len(name.split()) != 1:
        raise DataError(f"column '{name}' cannot be a PLY property: found {values.dtype}; PLY holds numbers under plain names")
    if values.dtype == bool:
        return "u1"
    kind = f"{values.dtype.kind}{values.dtype.itemsize}"
    # PLY has no 64-bit integers; doubles hold them up to 2^53.
    return kind if kind in NAMES else "f8"
