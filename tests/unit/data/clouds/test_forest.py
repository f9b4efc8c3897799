from __future__ import annotations

import numpy as np
import pytest

from steelyard.core.errors import ArgumentError
from steelyard.data.clouds.forest import GROUND, LEAF, WOOD, forest


def test_a_seed_is_a_forest() -> None:
    one, again, other = forest(2, points_per_tree=200), forest(2, points_per_tree=200), forest(2, points_per_tree=200, seed=1)
    assert np.array_equal(one.xyz, again.xyz)
    assert len(one) != len(other) or not np.array_equal(one.xyz, other.xyz)


def test_wood_is_rare_and_the_trees_stand_apart() -> None:
    cloud = forest(4, points_per_tree=600)
    label, tree = cloud.columns["label"], cloud.columns["tree"]
    assert np.array_equal(tree == 0, label == GROUND)
    share = (label == WOOD).sum() / (label != GROUND).sum()
    assert 0.03 < share < 0.2
    for first in range(1, 5):
        for second in range(first):
            if second:
                apart = cloud.xyz[tree == first][:, None, :2] - cloud.xyz[tree == second][None, ::5, :2]
                assert np.sqrt((apart**2).sum(-1)).min() > 0.5


def test_what_lies_below_is_seen_seldom() -> None:
    open_sky, closed = (forest(2, points_per_tree=600, occlusion=o) for o in (0.0, 0.4))
    assert len(closed) < 0.8 * len(open_sky)
    lost = [1 - (closed.columns["label"] == k).sum() / (open_sky.columns["label"] == k).sum() for k in (WOOD, LEAF)]
    assert lost[0] > lost[1]  # wood is inside the crown


@pytest.mark.parametrize(
    ("name", "value"), [("trees", 0), ("points_per_tree", 3), ("occlusion", 1.0), ("noise", -1.0), ("noise", float("nan"))]
)
def test_numbers_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ArgumentError, match=name):
        forest(**{"trees": 2, name: value})
