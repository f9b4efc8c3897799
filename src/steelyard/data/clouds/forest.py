"""A synthetic forest as an airborne laser scanner sees it: terrain, trunks, branches and leaves, with occlusion."""

from __future__ import annotations

import math

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.data.clouds.cloud import Cloud

GROUND, WOOD, LEAF = 0, 1, 2
LABELS = ("ground", "wood", "leaf")
SPACING = 7.0
"""Metres between trees: wider than a crown, so that no two touch."""
ORIGIN = (286_500.0, 584_000.0, 12.0)
"""Corner of the plot: UTM-sized, as in real files."""


def forest(
    trees: int = 16, *, points_per_tree: int = 2000, occlusion: float = 0.1, noise: float = 0.02, seed: int = 0
) -> Cloud:
    """Trees on hilly ground, scanned from above: labels "ground", "wood" and "leaf", and the number of each point's tree.

    A tree is a trunk that tapers, branches that rise from it and bend, twigs at their ends, and leaves as small discs around
    the twigs. Where points lie above each other in a column of 25 cm, each point below another one comes back with
    probability `1 - occlusion` a point above it, down to one in fifty: trunks and low branches are seen seldom.

    Args:
        trees: how many, 1 or more.
        points_per_tree: returns of a tree before occlusion takes some, 50 or more.
        occlusion: in [0, 1); 0 keeps everything.
        noise: standard deviation of each coordinate in metres, 0 or more.
        seed: of everything.

    Returns:
        A cloud with columns "label" (0 ground, 1 wood, 2 leaf; uint8) and "tree" (0 for ground, then 1, 2, ...).

    Raises:
        ArgumentError: a number out of range.

    Example:
        >>> cloud = forest(2, points_per_tree=400)
        >>> sorted(set(cloud.columns["label"].tolist())), sorted(set(cloud.columns["tree"].tolist()))
        ([0, 1, 2], [0, 1, 2])
    """
    for name, value, low in (("trees", trees, 1), ("points_per_tree", points_per_tree, 50), ("noise", noise, 0)):
        if not (math.isfinite(value) and value >= low):
            raise ArgumentError(name, f"{low} or more", value)
    if not 0 <= occlusion < 1:
        raise ArgumentError("occlusion", "from 0 to below 1", occlusion)
    draw = np.random.default_rng([seed, trees])
    side = math.ceil(math.sqrt(trees))
    phase = draw.uniform(0, 2 * np.pi, 4)
    parts, labels, numbers = [], [], []
    for number in range(trees):
        spot = SPACING * (np.array([number % side, number // side]) + 0.5) + draw.uniform(-0.4, 0.4, 2)
        points, label = _tree(np.random.default_rng([seed, 1 + number]), points_per_tree)
        parts.append(points + np.array([*spot, _height(spot[None], phase)[0]]))
        labels.append(label)
        numbers.append(np.full(len(points), number + 1))
    extent = SPACING * np.array([side, math.ceil(trees / side)])
    ground = draw.uniform(0, 1, (max(round(6 * extent.prod()), 20), 2)) * extent
    parts.append(np.column_stack([ground, _height(ground, phase)]))
    labels.append(np.full(len(ground), GROUND))
    numbers.append(np.zeros(len(ground), np.int64))
    xyz, label, tree = np.concatenate(parts), np.concatenate(labels), np.concatenate(numbers)
    seen = _seen(xyz, occlusion, draw)
    xyz = xyz[seen] + noise * draw.standard_normal((int(seen.sum()), 3))
    columns = {"label": label[seen].astype(np.uint8), "tree": tree[seen].astype(np.int32)}
    return Cloud(xyz + ORIGIN, columns, "forest")


def _height(at: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Of the ground."""
    x, y = at.T
    hills: np.ndarray = 0.8 * np.sin(x / 9 + phase[0]) * np.cos(y / 11 + phase[1])
    bumps: np.ndarray = 0.3 * np.sin(x / 3.1 + phase[2]) * np.sin(y / 2.7 + phase[3])
    height: np.ndarray = hills + bumps
    return height


def _seen(xyz: np.ndarray, occlusion: float, draw: np.random.Generator) -> np.ndarray:
    """Which points come back: fewer, the more points lie above them in their column."""
    column = np.floor(xyz[:, :2] / 0.25).astype(np.int64)
    order = np.lexsort([-xyz[:, 2], column[:, 1], column[:, 0]])
    new = np.ones(len(xyz), bool)
    new[1:] = (np.diff(column[order], axis=0) != 0).any(1)
    above = np.empty(len(xyz), np.int64)
    position = np.arange(len(xyz))
    above[order] = position - np.maximum.accumulate(np.where(new, position, 0))
    chance = np.maximum((1 - occlusion) ** above, 0.02 if occlusion else 1.0)
    seen: np.ndarray = draw.uniform(size=len(xyz)) < chance
    return seen


def _tree(draw: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Points `[n, 3]` and labels `[n]` of a tree that stands at the origin."""
    height, girth = draw.uniform(7, 11), draw.uniform(0.12, 0.2)
    wood = [_limb(draw, np.zeros(3), np.array([0.0, 0.0, height]), girth, round(0.06 * size), bend=0.1)]
    leaves, branches = [], int(draw.integers(7, 11))
    for number in range(branches):
        start = np.array([0.0, 0.0, height * draw.uniform(0.3, 0.95)])
        angle = 2.4 * number + draw.uniform(-0.4, 0.4)
        reach = draw.uniform(1.6, 2.6) * (1.2 - 0.8 * start[2] / height)
        end = start + np.array([reach * math.cos(angle), reach * math.sin(angle), reach * draw.uniform(0.3, 0.9)])
        wood.append(_limb(draw, start, end, 0.25 * girth, max(round(0.05 * size / branches), 2), bend=0.15))
        for _ in range(3):
            tip = end + draw.normal(0, 0.3, 3)
            wood.append(_limb(draw, end, tip, 0.08 * girth, max(round(0.006 * size / branches), 1), bend=0.05))
            leaves.append(_discs(draw, tip, max(round(0.29 * size / branches), 3)))
    points = np.concatenate([*wood, *leaves])
    woods = sum(len(limb) for limb in wood)
    return points, np.where(np.arange(len(points)) < woods, WOOD, LEAF)


def _limb(
    draw: np.random.Generator, start: np.ndarray, end: np.ndarray, radius: float, size: int, *, bend: float
) -> np.ndarray:
    """Points on the surface of a limb that tapers to a third and bows a little."""
    along = draw.uniform(0, 1, size)
    axis = end - start
    length = np.linalg.norm(axis)
    axis = axis / length
    side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    around = draw.uniform(0, 2 * np.pi, size)
    width = radius * (1 - 2 / 3 * along)
    bow = bend * length * draw.uniform(-1, 1) * np.sin(np.pi * along)
    across = (width * np.cos(around) + bow)[:, None] * side + (width * np.sin(around))[:, None] * other
    points: np.ndarray = start + along[:, None] * (end - start) + across
    return points


def _discs(draw: np.random.Generator, centre: np.ndarray, size: int) -> np.ndarray:
    """Points on leaves of 4 cm around a twig, three to a leaf, turned at random."""
    count = -(-size // 3)
    middles = centre + draw.normal(0, 0.22, (count, 3))
    normal = draw.normal(size=(count, 3)) + np.array([0.0, 0.0, 1.0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    offset = draw.normal(0, 0.04, (3, count, 3))
    flat = offset - (offset * normal).sum(-1, keepdims=True) * normal
    points: np.ndarray = (middles + flat).reshape(-1, 3)[:size]
    return points
