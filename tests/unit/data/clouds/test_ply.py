from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from steelyard.core.errors import DataError
from steelyard.data.clouds.cloud import Cloud
from steelyard.data.clouds.ply import read_ply, write_ply

HEADER = (
    "ply\nformat {} 1.0\ncomment by hand\nelement sensor 1\nproperty uchar id\nelement vertex 2\nproperty float x\n"
    "property float y\nproperty double z\nproperty int label\nelement face 1\n"
    "property list uchar int vertex_indices\nend_header\n"
)


@pytest.mark.parametrize(("order", "mark"), [("binary_little_endian", "<"), ("binary_big_endian", ">")])
def test_both_byte_orders(order: str, mark: str, tmp_path: Path) -> None:
    body = struct.pack(f"{mark}B ffdi ffdi", 9, 1, 2, 3, -4, 5, 6, 7.125, 8)
    (tmp_path / "a.ply").write_bytes(HEADER.format(order).encode() + body + b"faces")
    cloud = read_ply(tmp_path / "a.ply")
    assert cloud.xyz.tolist() == [[1, 2, 3], [5, 6, 7.125]]
    assert cloud.columns["label"].tolist() == [-4, 8]
    assert cloud.columns["label"].dtype == np.dtype("=i4")


def test_text(tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_text(HEADER.format("ascii") + "9\n1 2 3 -4\n5 6 7.125 8\n3 0 1 0\n")
    cloud = read_ply(tmp_path / "a.ply")
    assert cloud.xyz[1].tolist() == [5, 6, 7.125]
    assert cloud.columns["label"].tolist() == [-4, 8]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("points", "no PLY file"),
        (HEADER.format("ascii") + "9\n1 2 3 4\n", "cut off"),
        (HEADER.format("binary_little_endian"), "cut off"),
        (HEADER.format("ascii") + "9\n1 2 3 4\n5 6 leaf 8\n", "not 4 numbers"),
        (HEADER.format("morse"), "cannot be read: 'format morse 1.0'"),
        ("ply\nelement vertex 0\nend_header\n", "without a format"),
        ("ply\nformat ascii 1.0\nelement face 0\nend_header\n", "no vertices"),
        ("ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n", "have no 'y'"),
        ("ply\nformat ascii 1.0\nelement vertex 1\nproperty list uchar int x\nend_header\n1\n", "lists"),
    ],
)
def test_what_is_wrong_is_said(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_text(content)
    with pytest.raises(DataError, match=said):
        read_ply(tmp_path / "a.ply")


def test_wide_integers_and_flags_are_kept_as_far_as_the_format_can(tmp_path: Path) -> None:
    cloud = Cloud(np.zeros((2, 3)), {"time": np.array([1, 2**40]), "seen": np.array([True, False])})
    write_ply(tmp_path / "a.ply", cloud)
    read = read_ply(tmp_path / "a.ply")
    assert read.columns["time"].tolist() == [1, 2**40]
    assert read.columns["seen"].tolist() == [1, 0]
