from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steelyard.core.errors import DataError
from steelyard.data.clouds import Cloud, read_cloud, write_cloud
from steelyard.data.clouds.files import check_writable
from steelyard.data.clouds.las import read_las

laspy = pytest.importorskip("laspy")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """As a scanner writes it: another point format, scale and offset than ours, and an intensity."""
    las = laspy.LasData(laspy.LasHeader(point_format=1, version="1.2"))
    las.header.scales, las.header.offsets = np.full(3, 0.01), np.array([286_000.0, 4_649_000.0, 0.0])
    las.x, las.y, las.z = 286_500 + np.arange(4.0), np.full(4, 4_649_776.25), np.arange(4.0)
    las.intensity, las.classification = np.array([7, 8, 9, 10]), np.array([2, 1, 1, 1])
    las.write(tmp_path / "scan.las")
    return tmp_path / "scan.las"


def test_everything_of_the_scan_is_written_again(scan: Path, tmp_path: Path) -> None:
    cloud = read_cloud(scan)
    more = cloud.with_columns(predicted_label=np.arange(4, dtype=np.uint8), probability_leaf=np.full(4, 0.25, np.float32))
    after = laspy.read(write_cloud(tmp_path / "out.laz", more))
    assert after.intensity.tolist() == [7, 8, 9, 10]
    assert after.header.scales.tolist() == [0.01] * 3
    assert after.point_format.id == 1
    assert np.array_equal(after.x, laspy.read(scan).x)
    assert after.predicted_label.tolist() == [0, 1, 2, 3]
    assert after.probability_leaf.tolist() == [0.25] * 4
    assert "predicted_label" not in cloud.original.point_format.dimension_names  # the cloud that was read is as it was
    again = write_cloud(tmp_path / "twice.laz", read_cloud(tmp_path / "out.laz").with_columns(predicted_label=np.ones(4)))
    assert laspy.read(again).predicted_label.tolist() == [1, 1, 1, 1]


def test_a_compressed_file_without_a_backend_is_one_sentence(scan: Path, tmp_path: Path, monkeypatch) -> None:
    packed = write_cloud(tmp_path / "a.laz", read_cloud(scan))
    monkeypatch.setattr(laspy.LazBackend, "detect_available", lambda: ())
    with pytest.raises(DataError, match=r"a.laz is compressed .* pip install 'steelyard\[points\]'"):
        read_las(packed)
    with pytest.raises(DataError, match=r"^b\.laz .* no LAZ backend"):
        write_cloud(tmp_path / "b.laz", Cloud(np.ones((1, 3))))
    with pytest.raises(DataError, match="no LAZ backend"):  # before the work is done
        check_writable(tmp_path / "b.laz")


def test_a_damaged_file_and_columns_that_do_not_fit(scan: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.las").write_bytes(scan.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read as LAS"):
        read_cloud(tmp_path / "bad.las")
    cloud = read_cloud(scan)
    with pytest.raises(DataError, match="32 letters"):
        write_cloud(tmp_path / "a.las", cloud.with_columns(**{"x" * 33: np.ones(4)}))
    with pytest.raises(DataError, match="holds numbers"):
        write_cloud(tmp_path / "a.las", cloud.with_columns(species=np.array(["oak"] * 4)))
