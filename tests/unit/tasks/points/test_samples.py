from __future__ import annotations

import numpy as np
import pytest

from steelyard.core.errors import ArgumentError
from steelyard.data.clouds import forest
from steelyard.tasks.points.samples import Cutting, cut

CUTTING = Cutting(size=64)


@pytest.fixture(scope="module")
def trees() -> tuple[np.ndarray, np.ndarray]:
    cloud = forest(3, points_per_tree=300)
    wanted = cloud.columns["tree"] > 0
    return cloud.local()[0][wanted], cloud.columns["tree"][wanted]


@pytest.mark.parametrize("shuffle", [None, 1])
def test_every_point_is_asked_for_once_and_stays_in_its_group(trees, shuffle) -> None:
    xyz, group = trees
    samples = cut(xyz, group, CUTTING, shuffle=shuffle)
    assert sorted(samples.rows[samples.asked].tolist()) == list(range(len(xyz)))
    assert (group[samples.rows] == group[samples.rows[:, :1]]).all()
    assert samples.xyz.dtype == np.float32
    assert samples.xyz.min() >= -1e-6
    assert samples.xyz.max() <= 1 + 1e-6
    np.testing.assert_allclose(np.ptp(samples.xyz, axis=1).max(1), 1, atol=1e-5)
    np.testing.assert_allclose((samples.xyz.max(1) + samples.xyz.min(1)) / 2, 0.5, atol=1e-5)


def test_samples_are_filled_with_what_is_around_before_copies(trees) -> None:
    xyz, group = trees
    samples = cut(xyz, group, CUTTING)
    for rows, asked in zip(samples.rows, samples.asked, strict=True):
        assert len({*rows.tolist()}) == len(rows)  # each tree has more points than a sample
        if not asked.all():
            middle = xyz[rows[asked]].mean(0)
            others = np.setdiff1d(np.flatnonzero(group == group[rows[0]]), rows)
            farthest = np.linalg.norm(xyz[rows[~asked]] - middle, axis=1).max()
            assert len(others) == 0 or farthest <= np.linalg.norm(xyz[others] - middle, axis=1).min() + 1e-9


def test_spread_samples_differ_by_seed_and_reach_over_their_piece(trees) -> None:
    xyz, group = trees
    first, again, other = (cut(xyz, group, Cutting(size=32), shuffle=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.rows, again.rows)
    assert not np.array_equal(first.rows, other.rows)
    compact = cut(xyz, group, Cutting(size=32))
    spread = [
        np.mean([np.ptp(xyz[r[a]], axis=0).max() for r, a in zip(s.rows, s.asked, strict=True)]) for s in (compact, first)
    ]
    assert spread[1] >= spread[0]


@pytest.mark.parametrize("points", [1, 5, 64, 65])
def test_few_points_are_one_sample_or_two(points: int) -> None:
    xyz = np.random.default_rng(0).random((points, 3))
    samples = cut(xyz, np.zeros(points, int), CUTTING)
    assert len(samples.rows) == (2 if points > 64 else 1)
    assert sorted(samples.rows[samples.asked].tolist()) == list(range(points))
    assert np.isfinite(samples.xyz).all()


def test_copies_of_one_point() -> None:
    samples = cut(np.ones((200, 3)), np.zeros(200, int), CUTTING)
    assert samples.asked.sum() == 200
    assert (samples.xyz == 0.5).all()


def test_strays_go_with_the_nearest_large_piece() -> None:
    draw = np.random.default_rng(0)
    big, far = draw.random((300, 3)) * 3, draw.random((300, 3)) * 3 + [20, 0, 0]
    stray = np.array([[5.0, 1, 1]])
    samples = cut(np.concatenate([big, far, stray]), np.zeros(601, int), Cutting(size=128))
    home = next(rows for rows, asked in zip(samples.rows, samples.asked, strict=True) if 600 in rows[asked])
    assert (home[home != 600] < 300).all()


def test_a_sample_has_eight_points_or_more() -> None:
    with pytest.raises(ArgumentError, match="sample"):
        Cutting(size=7)
