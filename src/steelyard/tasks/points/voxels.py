"""Occupied voxels of a cloud, who touches whom, and what hangs together."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.clouds import Cloud

MOST_CELLS = 2**62
"""Cells of the bounding box that an int64 can number."""
ROUNDING = 1e-6
"""Of a voxel: a point on the border belongs to the upper one, however its coordinates were rounded."""
FACES = tuple(step for step in itertools.product((-1, 0, 1), repeat=3) if sum(map(abs, step)) == 1)
AROUND = tuple(step for step in itertools.product((-1, 0, 1), repeat=3) if any(step))


@dataclass(frozen=True)
class Voxels:
    """The occupied cells of a cubic grid, lowest first, and of equally high ones those with the smallest y, then x.

    Attributes:
        index: place of each in the grid `[V, 3]`, int64 (x, y, z).
        of_point: the voxel that each point is in `[N]`.
        size: edge in metres.
        shape: cells of the bounding box along x, y, z.
    """

    index: np.ndarray
    of_point: np.ndarray
    size: float
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        """Occupied voxels."""
        return len(self.index)

    def neighbours(self, steps: tuple[tuple[int, ...], ...] = FACES) -> np.ndarray:
        """The occupied voxel one step away `[V, S]`; -1 where there is none. By default across the six faces."""
        keys = _key(self.index, self.shape)
        found = np.full((len(self), len(steps)), -1, np.int64)
        for column, step in enumerate(steps):
            there = self.index + step
            inside = ((there >= 0) & (there < self.shape)).all(1)
            wanted = _key(there, self.shape)
            place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            hit = inside & (keys[place] == wanted)
            found[hit, column] = place[hit]
        return found


def voxelise(xyz: np.ndarray, size: float) -> Voxels:
    """Put points into cubic voxels that are counted from the lowest corner of the cloud on.

    Args:
        xyz: coordinates `[N, 3]` in metres, of any size.
        size: edge of a voxel in metres, above 0.

    Raises:
        ArgumentError: the size is not above 0.
        DataError: no points, coordinates that are not finite, or so far apart that the voxels cannot be numbered.

    Example:
        >>> voxelise(np.array([[0.0, 0, 0], [0.1, 0, 0], [0, 0, 5]]), 1.0).index.tolist()
        [[0, 0, 0], [0, 0, 5]]
    """
    if not (math.isfinite(size) and size > 0):
        raise ArgumentError("voxel", "an edge above 0, in metres", size)
    local, _ = Cloud(xyz).check().local()
    extent = [float(value) // size + 1 for value in local.max(0)]
    if math.prod(extent) >= MOST_CELLS:
        raise DataError(
            f"the points are up to {local.max():.3g} m apart, which is more than can be cut into voxels of {size:g} m: remove "
            "outliers, or take larger voxels"
        )
    cell = np.floor(local / size + ROUNDING).astype(np.int64)
    shape = tuple(int(value) + 1 for value in cell.max(0))
    _, first, of_point = np.unique(_key(cell, shape), return_index=True, return_inverse=True)
    return Voxels(cell[first], of_point.reshape(-1), size, (shape[0], shape[1], shape[2]))


def _key(index: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    key: np.ndarray = (index[:, 2] * shape[1] + index[:, 1]) * shape[0] + index[:, 0]
    return key


def islands(xyz: np.ndarray, gap: float) -> np.ndarray:
    """Which points hang together, leaping over gaps: a number for each `[N]`, 0, 1, ... by the lowest point of each island.

    Points are together where their voxels of edge `gap` touch, also at an edge or a corner; so points closer than `gap` always
    are, and points farther apart than 2 sqrt(3) `gap` with nothing between never.

    Args:
        xyz: coordinates `[N, 3]` in metres.
        gap: in metres, above 0.

    Example:
        >>> islands(np.array([[0.0, 0, 0], [0.5, 0, 0], [9, 0, 0]]), 1.0).tolist()
        [0, 0, 1]
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    voxels = voxelise(xyz, gap)
    near = voxels.neighbours(AROUND)
    here, column = np.nonzero(near >= 0)
    graph = coo_matrix((np.ones(len(here), bool), (here, near[here, column])), shape=(len(voxels), len(voxels)))
    _, label = connected_components(graph, directed=False)
    _, first, number = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    island: np.ndarray = rank[number.reshape(-1)][voxels.of_point]
    return island
