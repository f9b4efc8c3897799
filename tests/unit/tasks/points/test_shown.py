"""The points that a report shows are few, the same every time, and of one cloud."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.data.clouds import Cloud
from steelyard.tasks.points.shown import shown_of


def cloud(points: int, name: str, at: float) -> Cloud:
    return Cloud(np.random.default_rng(points).random((points, 3)) + at, name=name)


def test_the_cloud_with_most_test_points_is_shown_by_its_numbers_in_the_split() -> None:
    small, large = cloud(5, "small", 0), cloud(60, "large", 286_500)
    rows = np.arange(40)[::-1]
    found = shown_of([(small, np.array([4, 0])), (large, rows), (small, np.array([1]))])
    assert found is not None
    assert (found.name, found.whole, found.point.tolist()) == ("large", 40, list(range(2, 42)))
    assert np.array_equal(found.xyz, large.xyz[rows] - large.xyz[rows].min(0))


def test_many_points_are_thinned_evenly() -> None:
    found = shown_of([(cloud(1000, "many", 0), np.arange(1000))], most=100)
    assert found is not None
    assert (len(found.point), found.whole) == (100, 1000)
    assert set(np.diff(found.point)) <= {10, 11}
    again = shown_of([(cloud(1000, "many", 0), np.arange(1000))], most=100)
    assert again is not None
    assert np.array_equal(found.xyz, again.xyz)


@pytest.mark.parametrize("tests", [[], [(cloud(3, "none", 0), np.empty(0, int))]])
def test_no_test_points_no_picture(tests: list) -> None:
    assert shown_of(tests) is None
