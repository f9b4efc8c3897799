"""From a cloud to samples of equal size: what a network is given at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.tasks.points.geodesic import DETOUR, REACH, VOXEL, decompose

LEAST_VOXELS, LEAST_POINTS = 10, 10


@dataclass(frozen=True)
class Cutting:
    """How a cloud is cut into samples.

    Attributes:
        size: points of a sample, 8 or more.
        voxel: edge of a voxel of the decomposition, in metres.
        reach: largest geodesic distance in a piece, in voxels.
        detour: longest way in a piece against the straight line.

    Raises:
        ArgumentError: a number out of range.
    """

    size: int = 512
    voxel: float = VOXEL
    reach: int = REACH
    detour: float = DETOUR

    def __post_init__(self) -> None:
        """Check what is not checked where it is used."""
        if self.size < 8:
            raise ArgumentError("sample", "at least 8 points", self.size)


@dataclass(frozen=True)
class Samples:
    """Samples of a cloud.

    Attributes:
        rows: numbers of the points in each sample `[M, n]`.
        asked: which of them the sample is there for `[M, n]`; the others are their surroundings.
        xyz: coordinates in the sample `[M, n, 3]`, float32: the longest side is 1, the shorter ones are centred in [0, 1].
    """

    rows: np.ndarray
    asked: np.ndarray
    xyz: np.ndarray


def cut(xyz: np.ndarray, group: np.ndarray, cutting: Cutting, *, shuffle: int | None = None) -> Samples:
    """Cut a cloud into samples, so that every point is asked for in exactly one.

    Each group is decomposed on its own; its pieces of fewer than ten voxels or points go with the nearest larger piece, if
    there is one, and all together otherwise. The points of a piece, by their geodesic distance, are cut into equal parts of at
    most `size`; a part is filled up with the points of its group that are nearest to its middle, and where the group has not
    enough, with copies.

    Args:
        xyz: coordinates `[N, 3]` in metres.
        group: number of each point's tree, or whatever is to be kept apart `[N]`.
        cutting: how.
        shuffle: None for parts by distance; a seed for parts that are each spread over their whole piece.

    Reference:
        Bai, Durand, Vincent, Forbes, Semantic segmentation of sparse irregular point clouds for leaf/wood discrimination,
        NeurIPS 2023.

    Departures:
        The released code fills the last part alone, with copies of points of earlier parts, which then count, and are written,
        twice; it normalises by the extent of the piece, and here that of the sample does.
    """
    rows, asked = list[np.ndarray](), list[np.ndarray]()
    order = np.argsort(group, kind="stable")
    borders = np.flatnonzero(np.diff(group[order])) + 1
    for number, members in enumerate(np.split(order, borders)):
        draw = np.random.default_rng([0 if shuffle is None else shuffle, number])
        for held, real in _of_group(xyz[members], cutting, None if shuffle is None else draw):
            rows.append(members[held])
            asked.append(real)
    taken = np.stack(rows)
    return Samples(taken, np.stack(asked), _normalised(xyz, taken))


def _of_group(xyz: np.ndarray, cutting: Cutting, draw: np.random.Generator | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Numbers of the points of each sample of a group, and which are asked for."""
    from scipy.spatial import cKDTree

    piece, distance = _usable_pieces(xyz, cutting)
    within = distance if draw is None else draw.random(len(xyz))
    order = np.lexsort([*xyz.T, within, piece])
    tree = cKDTree(xyz)
    found = []
    for members in np.split(order, np.flatnonzero(np.diff(piece[order])) + 1):
        parts = -(-len(members) // cutting.size)
        for part in range(parts):
            # Without an order, every parts-th point: each part is then spread over the piece.
            chosen = members[part::parts] if draw is not None else np.array_split(members, parts)[part]
            found.append(_filled(chosen, xyz, tree, cutting.size))
    return found


def _usable_pieces(xyz: np.ndarray, cutting: Cutting) -> tuple[np.ndarray, np.ndarray]:
    """Piece and geodesic distance of each point; those of pieces too small for a sample are those of the nearest large one."""
    from scipy.spatial import cKDTree

    pieces = decompose(xyz, voxel=cutting.voxel, reach=cutting.reach, detour=cutting.detour)
    large = (pieces.voxel_counts >= LEAST_VOXELS) & (pieces.points >= LEAST_POINTS)
    kept = large[pieces.piece]
    if not kept.any():
        return np.zeros(len(xyz), np.int64), pieces.distance
    piece, distance = pieces.piece.copy(), pieces.distance.copy()
    if not kept.all():
        _, nearest = cKDTree(xyz[kept]).query(xyz[~kept])
        piece[~kept], distance[~kept] = piece[kept][nearest], distance[kept][nearest]
    return piece, distance


def _filled(chosen: np.ndarray, xyz: np.ndarray, tree: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    """So many points: those chosen, then the nearest others of the group, then copies of these."""
    asked = np.arange(size) < len(chosen)
    if len(chosen) == size:
        return chosen, asked
    _, near = tree.query(xyz[chosen].mean(0), min(size, len(xyz)))
    near = np.atleast_1d(near)
    others = near[~np.isin(near, chosen)][: size - len(chosen)]
    return np.resize(np.concatenate([chosen, others]), size), asked


def _normalised(xyz: np.ndarray, rows: np.ndarray) -> np.ndarray:
    found = np.empty((*rows.shape, 3), np.float32)
    for i, members in enumerate(rows):
        points = xyz[members]
        low, high = points.min(0), points.max(0)
        longest = max(float((high - low).max()), 1e-9)
        found[i] = (points - (low + high) / 2) / longest + 0.5
    return found
