"""Which points of a test cloud a report shows: the same ones for every method, few enough to be stored with every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.data.clouds import Cloud

MOST_POINTS = 8000


@dataclass(frozen=True)
class Shown:
    """Points of a test cloud that a report shows.

    Attributes:
        name: of the cloud.
        point: their numbers in the test split `[n]`.
        xyz: their coordinates `[n, 3]` in metres, from the lowest corner of the cloud's test points.
        whole: labelled test points of the cloud.
    """

    name: str
    point: np.ndarray
    xyz: np.ndarray
    whole: int


def shown_of(tests: Sequence[tuple[Cloud, np.ndarray]], most: int = MOST_POINTS) -> Shown | None:
    """An even choice of the points of the cloud that has most test points; of clouds with equally many, the first.

    Args:
        tests: each cloud with the rows of its labelled test points `[n]`, in the order of their numbers in the test split,
            which go on from one cloud to the next.
        most: points to choose.

    Returns:
        The choice; None where there are no test points.

    Example:
        >>> cloud = Cloud(np.arange(12.0).reshape(4, 3))
        >>> found = shown_of([(cloud, np.array([3, 1, 2]))], most=2)
        >>> found.point.tolist(), found.xyz.tolist(), found.whole
        ([0, 2], [[6.0, 6.0, 6.0], [3.0, 3.0, 3.0]], 3)
    """
    sizes = [len(rows) for _, rows in tests]
    if not any(sizes):
        return None
    place = int(np.argmax(sizes))
    cloud, rows = tests[place]
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64))
    xyz = cloud.xyz[rows]
    return Shown(cloud.name, sum(sizes[:place]) + chosen, xyz[chosen] - xyz.min(0), len(rows))
