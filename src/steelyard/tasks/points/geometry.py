"""What the neighbourhood of a point looks like: shares of the eigenvalues of its covariance, at several radii."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.data.clouds import Cloud

RADII = (0.3, 0.6, 0.9)
SHAPES = ("pca1", "linearity", "sphericity", "verticality")
PAIRS = 2_000_000
"""Pairs of neighbours held at a time: some 200 MB."""
FLAT = 1e-10
"""A variance below this share of the largest one is none."""


def geometric_features(xyz: np.ndarray, radii: Sequence[float] = RADII, *, grain: float = 0.0) -> np.ndarray:
    """Four numbers a radius about the points within it: is it a line, a surface, a heap, and does it stand upright?

    With eigenvalues l1 >= l2 >= l3 of the covariance of the neighbours (the point is one of them) and the eigenvector e3 of l3:
    pca1 = l1 / (l1 + l2 + l3), linearity = (l1 - l2) / l1, sphericity = l3 / l1, verticality = 1 - |e3_z|.

    Every point gets numbers. A point without neighbours, or with copies of itself alone, counts as the limit of a small ball:
    1/3, 0, 1, 0. Where the neighbours lie on a line, of whose normals e3 could be any, the steepest is taken, so that a
    level line has verticality 0 and an upright one 1.

    Args:
        xyz: coordinates `[N, 3]` in metres; of any size, as they are taken relative to each point.
        radii: of the neighbourhoods, in metres, above 0.
        grain: size of cells that stand for the points in them, as a share of the radius; 0 for every point alone. With cells,
            moments of a cell are kept exactly and only the rim of a ball is blurred; the work then grows with the number of
            points, however dense they are.

    Returns:
        `[N, 4 R]` float32, by radius and then in the order of `SHAPES`; all in [0, 1].

    Raises:
        ArgumentError: a radius or the grain out of range.
        DataError: no points, or coordinates that are not finite.

    Reference:
        Weinmann, Jutzi, Mallet, Semantic 3D scene interpretation: a framework combining optimal neighborhood size selection
        with relevant features, ISPRS Annals II-3, 2014; as used by Bai et al., NeurIPS 2023.

    Departures:
        The reference drops points without neighbours; e3 of a line is whatever the solver returns there.

    Example:
        >>> line = np.arange(5)[:, None] * np.array([[0.1, 0.0, 0.0]])
        >>> geometric_features(line, radii=[1.0])[2].round(6).tolist()
        [1.0, 1.0, 0.0, 0.0]
    """
    for radius in radii:
        if not (math.isfinite(radius) and radius > 0):
            raise ArgumentError("radii", "numbers above 0, in metres", radius)
    if not 0 <= grain <= 0.5:
        raise ArgumentError("grain", "from 0 to 0.5 of a radius", grain)
    local, _ = Cloud(xyz).check().local()
    points, back, copies = _distinct(local)
    features = [_shapes(_covariances(points, copies, radius, grain * radius)) for radius in radii]
    return np.concatenate(features, 1).astype(np.float32)[back] if features else np.zeros((len(local), 0), np.float32)


def feature_names(radii: Sequence[float] = RADII) -> tuple[str, ...]:
    """What each column of `geometric_features` is called.

    Example:
        >>> feature_names([0.3])
        ('pca1 0.3', 'linearity 0.3', 'sphericity 0.3', 'verticality 0.3')
    """
    return tuple(f"{shape} {radius:g}" for radius in radii for shape in SHAPES)


def _distinct(local: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points without their copies, where each point went, and how many there are of each: copies cost nothing then."""
    order = np.lexsort(local.T)
    new = np.ones(len(local), bool)
    new[1:] = (local[order][1:] != local[order][:-1]).any(1)
    number = np.cumsum(new) - 1
    back = np.empty(len(local), np.int64)
    back[order] = number
    return local[order[new]], back, np.bincount(number).astype(np.float64)


def _covariances(points: np.ndarray, copies: np.ndarray, radius: float, cell: float) -> np.ndarray:
    """Covariance of the neighbours of each point `[N, 3, 3]`."""
    from scipy.spatial import cKDTree

    centres, mass, spread = _cells(points, copies, cell) if cell else (points, copies, None)
    tree = cKDTree(centres)
    found = np.empty((len(points), 3, 3))
    for rows, i, j in _neighbours(tree, points, radius):
        weight = mass[j]
        apart = centres[j] - points[rows[i]]
        count = np.bincount(i, weight, len(rows))
        mean = np.stack([np.bincount(i, weight * apart[:, a], len(rows)) for a in range(3)], 1) / count[:, None]
        apart -= mean[i]
        for a in range(3):
            for b in range(a, 3):
                values = weight * apart[:, a] * apart[:, b]
                if spread is not None:
                    values += spread[j, a, b]
                found[rows, a, b] = found[rows, b, a] = np.bincount(i, values, len(rows)) / count
    return found


def _cells(points: np.ndarray, copies: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre `[M, 3]`, mass `[M]` and summed scatter `[M, 3, 3]` of the points of each occupied cell."""
    where = np.floor(points / cell).astype(np.int64)
    order = np.lexsort(where.T)
    new = np.ones(len(points), bool)
    new[1:] = (where[order][1:] != where[order][:-1]).any(1)
    number = np.empty(len(points), np.int64)
    number[order] = np.cumsum(new) - 1
    mass = np.bincount(number, copies)
    centres = np.stack([np.bincount(number, copies * points[:, a]) for a in range(3)], 1) / mass[:, None]
    apart = points - centres[number]
    spread = np.empty((len(mass), 3, 3))
    for a in range(3):
        for b in range(a, 3):
            spread[:, a, b] = spread[:, b, a] = np.bincount(number, copies * apart[:, a] * apart[:, b])
    return centres, mass, spread


def _neighbours(tree: Any, points: np.ndarray, radius: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Parts of the points, as their numbers, with all pairs (place in the part, number in the tree) within the radius.

    A point whose own cell's centre is farther away than the radius cannot be: cells are at most half a radius wide.
    """
    from scipy.spatial import cKDTree

    # Neighbours in space are put next to each other, so that the two trees of a part overlap little.
    order = np.lexsort(np.floor(points / (4 * radius)).astype(np.int64).T)
    sizes = np.concatenate(
        [
            tree.query_ball_point(points[part], radius, return_length=True)
            for part in np.array_split(order, 1 + len(order) // 500_000)
        ]
    )
    ends = np.cumsum(sizes)
    start = 0
    while start < len(order):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + PAIRS, side="right")), start + 1)
        rows = order[start:stop]
        pairs = cKDTree(points[rows]).sparse_distance_matrix(tree, radius, output_type="ndarray")
        yield rows, pairs["i"], pairs["j"]
        start = stop


def _shapes(covariance: np.ndarray) -> np.ndarray:
    """The four numbers of each neighbourhood `[N, 4]`."""
    found = np.empty((len(covariance), 4))
    for part in np.array_split(np.arange(len(covariance)), 1 + len(covariance) // 200_000):
        values, vectors = np.linalg.eigh(covariance[part])
        l3, l2, l1 = np.maximum(values, 0).T
        # Differences of coordinates of 1e-9 m are rounding.
        extent = l1 > 1e-18
        scale = np.where(extent, l1, 1.0)
        line = extent & (l2 <= FLAT * scale)
        steepest = np.sqrt(np.maximum(1 - vectors[:, 2, 2] ** 2, 0))
        upright = 1 - np.where(line, steepest, np.abs(vectors[:, 2, 0]))
        found[part, 0] = np.where(extent, l1 / np.where(extent, l1 + l2 + l3, 1.0), 1 / 3)
        found[part, 1] = np.where(extent, (l1 - l2) / scale, 0.0)
        found[part, 2] = np.where(extent, l3 / scale, 1.0)
        found[part, 3] = np.where(extent, upright, 0.0)
    return np.clip(found, 0.0, 1.0)
