from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steelyard.core.errors import DataError
from steelyard.data.clouds import Cloud, list_clouds, read_cloud, write_cloud
from steelyard.data.clouds.files import check_writable

ENDINGS = ("las", "laz", "ply", "csv", "xyz", "txt", "asc")


@pytest.fixture
def cloud() -> Cloud:
    draw = np.random.default_rng(0)
    columns = {"label": np.arange(20, dtype=np.uint8), "height": draw.random(20).astype(np.float32)}
    return Cloud(draw.random((20, 3)) * 50 + [286_500, 4_649_776, 10], columns, "mine")


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_written_is_read(ending: str, cloud: Cloud, tmp_path: Path) -> None:
    if ending in ("las", "laz"):
        pytest.importorskip("laspy")
    read = read_cloud(write_cloud(tmp_path / f"a.{ending}", cloud))
    # LAS stores whole millimetres; the others every digit.
    np.testing.assert_allclose(read.xyz, cloud.xyz, atol=5.1e-4 if ending in ("las", "laz") else 0, rtol=0)
    assert read.columns["label"].tolist() == list(range(20))
    np.testing.assert_allclose(read.columns["height"].astype(np.float32), cloud.columns["height"], rtol=1e-6)
    assert read.name == f"a.{ending}"
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{ending}"]


@pytest.mark.parametrize("ending", ["las", "laz", "ply", "csv"])
def test_one_point_is_a_cloud(ending: str, tmp_path: Path) -> None:
    if ending in ("las", "laz"):
        pytest.importorskip("laspy")
    assert len(read_cloud(write_cloud(tmp_path / f"a.{ending}", Cloud(np.ones((1, 3)))))) == 1


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read_cloud(tmp_path / "a.las")
    (tmp_path / "a.e57").write_bytes(b"x")
    with pytest.raises(DataError, match="known endings"):
        read_cloud(tmp_path / "a.e57")
    with pytest.raises(DataError, match="is a folder"):
        read_cloud(tmp_path)
    with pytest.raises(DataError, match="no point cloud in"):
        list_clouds(tmp_path)


def test_a_place_that_cannot_be_written_to_is_said_before(tmp_path: Path, cloud: Cloud) -> None:
    for path, said in ((tmp_path / "a.e57", "known endings"), (tmp_path / "no" / "a.ply", "no folder")):
        with pytest.raises(DataError, match=said):
            check_writable(path)
    with pytest.raises(DataError, match="cannot be a PLY property"):
        write_cloud(tmp_path / "a.ply", cloud.with_columns(name=np.array(["x"] * 20)))
    assert not list(tmp_path.iterdir())  # no draft is left


def test_the_files_of_a_folder_come_in_order(tmp_path: Path, cloud: Cloud) -> None:
    for name in ("b.ply", "a.csv", ".hidden.ply"):
        write_cloud(tmp_path / name, cloud)
    assert [path.name for path in list_clouds(tmp_path)] == ["a.csv", "b.ply"]
