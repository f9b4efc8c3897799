"""The geodesic voxel decomposition: a cloud cut into pieces that grow from low voxels along what hangs together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.tasks.points.voxels import Voxels, voxelise

VOXEL, REACH, DETOUR = 0.6, 10, 1.5


@dataclass(frozen=True)
class Pieces:
    """A cloud in pieces: every point is in exactly one.

    Attributes:
        piece: the piece of each point `[N]`, 0, 1, ... in the order of their seeds, lowest first.
        distance: steps from voxel to voxel between each point and its piece's seed, within the piece `[N]`.
        voxels: the voxels that the points are in.
        seeds: the voxel that each piece grew from `[P]`.
    """

    piece: np.ndarray
    distance: np.ndarray
    voxels: Voxels
    seeds: np.ndarray

    def __len__(self) -> int:
        """Pieces."""
        return len(self.seeds)

    @property
    def points(self) -> np.ndarray:
        """Points of each piece `[P]`."""
        return np.bincount(self.piece, minlength=len(self))

    @property
    def voxel_counts(self) -> np.ndarray:
        """Voxels of each piece `[P]`."""
        of_voxel = np.empty(len(self.voxels), np.int64)
        of_voxel[self.voxels.of_point] = self.piece
        return np.bincount(of_voxel, minlength=len(self))


def decompose(xyz: np.ndarray, *, voxel: float = VOXEL, reach: int = REACH, detour: float = DETOUR) -> Pieces:
    """Cut a cloud into pieces that hang together and are neither too long nor too winding.

    The lowest voxel that is left is a seed (of equally low ones, that with the smallest y, then x). From it the piece grows
    across faces of occupied voxels that are left. A voxel hands on while its geodesic distance g from the seed (steps between
    voxels) is below `reach` and below `detour` times its straight distance; one that does not is in the piece all the same.

    The result depends neither on the order of the points nor on where the cloud lies. The work is a sort of the points and
    one visit of each voxel.

    Args:
        xyz: coordinates `[N, 3]` in metres, of any size.
        voxel: edge of a voxel in metres, above 0.
        reach: largest geodesic distance from the seed, in voxels, 1 or more.
        detour: longest way against the straight line, 1 or more.

    Returns:
        Pieces of which each is connected across faces, with the true geodesic distance inside it: of its seed 0, of all at
        most `reach`.

    Raises:
        ArgumentError: a number out of range.
        DataError: no points, or coordinates that are not finite.

    Reference:
        Bai, Durand, Vincent, Forbes, Semantic segmentation of sparse irregular point clouds for leaf/wood discrimination,
        NeurIPS 2023.

    Departures:
        The released code has the square of the straight distance on one coordinate alone, so that the limit on detours binds
        only for seeds at height 0; lets distances leak from an earlier piece into the next; gives small pieces the number of
        whichever piece comes next, wherever it is; and breaks ties by the order of a set. Here none of that. A staircase in
        three directions has a detour of sqrt(3), so with 1.5 pieces grow less along space diagonals than along axes.

    Example:
        >>> column = np.array([[0.0, 0.0, 0.6 * z + 0.3] for z in range(30)])
        >>> decompose(column).points.tolist()
        [11, 11, 8]
    """
    if reach < 1:
        raise ArgumentError("reach", "at least 1 voxel", reach)
    if not (math.isfinite(detour) and detour >= 1):
        raise ArgumentError("detour", "at least 1", detour)
    voxels = voxelise(xyz, voxel)
    piece, distance, seeds = _grow(voxels, reach, detour)
    return Pieces(piece[voxels.of_point], distance[voxels.of_point], voxels, seeds)


def _grow(voxels: Voxels, reach: int, detour: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Piece and distance of each voxel `[V]`, and the seeds; plain lists, as most steps look at one voxel."""
    around = voxels.neighbours().reshape(-1).tolist()
    at = voxels.index.tolist()
    piece, distance = [-1] * len(voxels), [0] * len(voxels)
    seeds = list[int]()
    squared = detour * detour
    for seed in range(len(voxels)):
        if piece[seed] >= 0:
            continue
        number = len(seeds)
        seeds.append(seed)
        piece[seed] = number
        members, cut = [seed], False
        x0, y0, z0 = at[seed]
        for here in members:  # grows while it is gone through: breadth first
            steps = distance[here]
            if steps:
                x, y, z = at[here]
                straight = (x - x0) ** 2 + (y - y0) ** 2 + (z - z0) ** 2
                winding = steps * steps >= squared * straight
                if steps >= reach or winding:
                    cut = cut or winding
                    continue
            for there in around[6 * here : 6 * here + 6]:
                if there >= 0 and piece[there] < 0:
                    piece[there] = number
                    distance[there] = steps + 1
                    members.append(there)
        if cut:
            _measure(members, around, piece, distance)
    return np.array(piece), np.array(distance), np.array(seeds)


def _measure(members: list[int], around: list[int], piece: list[int], distance: list[int]) -> None:
    """Geodesic distances inside a finished piece: a voxel that did not hand on may still be on a shorter way."""
    number, left = piece[members[0]], set(members[1:])
    queue = [members[0]]
    for here in queue:
        for there in around[6 * here : 6 * here + 6]:
            if there >= 0 and piece[there] == number and there in left:
                left.remove(there)
                distance[there] = distance[here] + 1
                queue.append(there)
