from __future__ import annotations

import numpy as np
import pytest

from steelyard.core.errors import DataError
from steelyard.data.clouds import Cloud, forest
from steelyard.tasks.points.holding import deal, groups_of

SHARES = {"train": 0.6, "valid": 0.15, "test": 0.25}


def test_whole_groups_are_dealt_and_every_split_has_every_class() -> None:
    draw = np.random.default_rng(0)
    group = draw.integers(0, 20, 4000)
    label = (draw.random(4000) < 0.9).astype(int)
    label[:40] = -1
    split = deal(group, label, SHARES, seed=3)
    assert all(len({*split[group == g].tolist()}) == 1 for g in range(20))
    for number, share in enumerate(SHARES.values()):
        for c in (0, 1):
            assert abs((split[label == c] == number).mean() - share) < 0.1
    assert np.array_equal(split, deal(group, label, SHARES, seed=3))
    assert not np.array_equal(split, deal(group, label, SHARES, seed=4))


def test_a_split_without_a_share_gets_nothing() -> None:
    split = deal(np.arange(10), np.arange(10) % 2, {"train": 1.0, "valid": 0.0, "test": 0.3}, 0)
    assert {*split.tolist()} == {0, 2}


def test_too_few_groups_are_said() -> None:
    with pytest.raises(DataError, match=r"1 group, and 3 splits .* points\(group=tiles\)"):
        deal(np.zeros(9, int), np.arange(9) % 2, SHARES, 0)
    with pytest.raises(DataError, match="points of every class"):
        deal(np.arange(9), np.array([0] + [1] * 8), SHARES, 0)


def test_trees_are_found_by_their_column_by_gaps_or_by_tiles() -> None:
    cloud = forest(4, points_per_tree=400)
    numbers, how = groups_of(cloud, "auto")
    assert how == "column 'tree'"
    assert np.array_equal(numbers, cloud.columns["tree"])
    above = cloud.take(cloud.columns["tree"] > 0)
    bare = Cloud(above.xyz)
    apart, how = groups_of(bare, "auto")
    assert "more than 1 m apart" in how
    trees = above.columns["tree"]
    assert all(len({*trees[apart == g].tolist()}) == 1 for g in range(apart.max() + 1))
    flat = Cloud(np.random.default_rng(0).random((3000, 3)) * [12, 12, 0.2])
    tiles, how = groups_of(flat, "auto")
    assert how == "tiles of 5 m"
    assert tiles.max() + 1 == 9
    assert not groups_of(flat, "islands")[0].any()
    with pytest.raises(DataError, match=r"no column 'plot' .* it has: none"):
        groups_of(flat, "plot")
