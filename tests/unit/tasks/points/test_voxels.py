from __future__ import annotations

import numpy as np
import pytest

from steelyard.core.errors import ArgumentError, DataError
from steelyard.tasks.points.voxels import AROUND, FACES, islands, voxelise


def test_every_point_is_in_its_voxel_and_lower_ones_come_first() -> None:
    cloud = np.random.default_rng(0).random((300, 3)) * 5
    voxels = voxelise(cloud, 0.7)
    local = cloud - cloud.min(0)
    assert np.array_equal(voxels.index[voxels.of_point], np.floor(local / 0.7 + 1e-6).astype(int))
    zyx = voxels.index[:, ::-1].tolist()
    assert zyx == sorted(zyx)
    assert len({*map(tuple, zyx)}) == len(voxels)


@pytest.mark.parametrize("steps", [FACES, AROUND])
def test_neighbours_by_a_table(steps) -> None:
    voxels = voxelise(np.random.default_rng(1).random((200, 3)) * 4, 0.6)
    number = {tuple(place): i for i, place in enumerate(voxels.index.tolist())}
    found = voxels.neighbours(steps)
    for i, place in enumerate(voxels.index):
        assert found[i].tolist() == [number.get(tuple((place + step).tolist()), -1) for step in steps]


def test_islands_are_apart() -> None:
    draw = np.random.default_rng(0)
    parts = [draw.random((50, 3)) + np.array([x, 0, z]) for x, z in ((0, 5), (6, 0), (12, 9))]
    cloud = np.concatenate(parts)
    assert islands(cloud, 1.0).tolist() == [1] * 50 + [0] * 50 + [2] * 50  # by their lowest point
    order = draw.permutation(150)
    assert np.array_equal(islands(cloud[order], 1.0), islands(cloud, 1.0)[order])
    assert not islands(cloud, 6.0).any()


def test_wrong_sizes_and_far_outliers() -> None:
    for size in (0.0, -1.0, float("inf")):
        with pytest.raises(ArgumentError, match="voxel"):
            voxelise(np.zeros((2, 3)), size)
    with pytest.raises(DataError, match="remove outliers"):
        voxelise(np.array([[0.0, 0, 0], [1e9, 1e9, 1e9]]), 0.1)
    assert len(voxelise(np.array([[286_500.0, 4_649_776, 9]] * 3), 0.6)) == 1
