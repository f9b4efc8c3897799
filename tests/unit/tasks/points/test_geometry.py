from __future__ import annotations

import numpy as np
import pytest

from steelyard.core.errors import ArgumentError, DataError
from steelyard.tasks.points.geometry import SHAPES, feature_names, geometric_features

PCA1, LINEARITY, SPHERICITY, VERTICALITY = range(4)


def one(xyz: np.ndarray, **settings: float) -> np.ndarray:
    """The four numbers at the middle, with all points in the ball."""
    return geometric_features(np.concatenate([np.zeros((1, 3)), xyz]), [2.0], **settings)[0]


def line(direction: list[float], size: int = 21) -> np.ndarray:
    unit = np.array(direction) / np.linalg.norm(direction)
    return np.linspace(-1, 1, size)[:, None] * unit


def patch(first: list[float], second: list[float]) -> np.ndarray:
    a, b = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
    return a.reshape(-1, 1) * np.array(first) + b.reshape(-1, 1) * np.array(second)


@pytest.mark.parametrize("grain", [0.0, 0.1])
def test_a_line_without_noise(grain: float) -> None:
    for direction, upright in (([1, 0, 0], 0.0), ([1, 2, 0], 0.0), ([0, 0, 1], 1.0), ([1, 0, 1], 1 - 0.5**0.5)):
        np.testing.assert_allclose(one(line(direction), grain=grain), [1, 1, 0, upright], atol=2e-6)


def test_a_level_surface_and_a_wall() -> None:
    level, wall = one(patch([1, 0, 0], [0, 1, 0])), one(patch([0, 0, 1], [0.6, 0.8, 0]))
    np.testing.assert_allclose(level, [0.5, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(wall, [0.5, 0, 0, 1], atol=1e-6)


def test_a_ball_is_round() -> None:
    draw = np.random.default_rng(0).normal(size=(700, 3))
    found = one(draw / np.linalg.norm(draw, axis=1, keepdims=True))
    np.testing.assert_allclose(found[:3], [1 / 3, 0, 1], atol=0.15)


def test_what_is_degenerate_is_the_same_every_time() -> None:
    alone = geometric_features(np.zeros((1, 3)), [1.0])
    copies = geometric_features(np.full((50, 3), 4.649776e6), [1.0])
    np.testing.assert_allclose(alone, [[1 / 3, 0, 1, 0]], atol=1e-6)
    np.testing.assert_allclose(copies, np.repeat(alone, 50, 0))
    pair = geometric_features(np.array([[0.0, 0, 0], [0.1, 0, 0]]), [1.0])
    np.testing.assert_allclose(pair, [[1, 1, 0, 0]] * 2, atol=1e-6)
    assert geometric_features(np.random.default_rng(0).random((5, 3)), [1e-9, 100.0]).shape == (5, 8)


def test_copies_count_as_many_points() -> None:
    cloud = np.random.default_rng(0).random((30, 3))
    some = np.concatenate([cloud, cloud[:10], cloud[:10]])
    centred = some - some.mean(0)
    values = np.linalg.eigvalsh(centred.T @ centred)
    found = geometric_features(some, [10.0])
    np.testing.assert_allclose(found[:, PCA1], values[2] / values.sum(), rtol=1e-5)
    assert len(np.unique(found.round(5), axis=0)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_by_loops(seed: int) -> None:
    """Against the definition, point by point."""
    cloud = np.random.default_rng(seed).random((120, 3)) * [2, 2, 1]
    found = geometric_features(cloud, [0.4, 0.8])
    assert found.dtype == np.float32
    for r, radius in enumerate((0.4, 0.8)):
        for i in range(0, 120, 7):
            near = cloud[np.linalg.norm(cloud - cloud[i], axis=1) <= radius]
            if len(near) < 4:
                continue
            values, vectors = np.linalg.eigh(np.cov(near.T))
            l3, l2, l1 = values
            expected = [l1 / values.sum(), (l1 - l2) / l1, l3 / l1, 1 - abs(vectors[2, 0])]
            np.testing.assert_allclose(found[i, 4 * r : 4 * r + 4], expected, atol=2e-6)


def test_moving_turning_and_scaling_change_nothing() -> None:
    cloud = np.random.default_rng(1).random((200, 3))
    before = geometric_features(cloud, [0.3])
    np.testing.assert_allclose(geometric_features(cloud + np.array([286_500, 4_649_776, 0]), [0.3]), before, atol=1e-5)
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    np.testing.assert_allclose(geometric_features(cloud @ turn.T, [0.3]), before, atol=1e-5)
    np.testing.assert_allclose(geometric_features(7 * cloud, [2.1]), before, atol=1e-5)
    order = np.random.default_rng(0).permutation(200)
    np.testing.assert_allclose(geometric_features(cloud[order], [0.3]), before[order], atol=1e-6)


def test_cells_stay_close_to_the_points_and_keep_their_spread() -> None:
    cloud = np.random.default_rng(2).random((800, 3))
    exact, coarse = geometric_features(cloud, [0.3]), geometric_features(cloud, [0.3], grain=0.1)
    assert np.abs(exact - coarse).mean() < 0.02
    # With everything in one ball there is no rim to blur.
    np.testing.assert_allclose(geometric_features(cloud, [5.0]), geometric_features(cloud, [5.0], grain=0.2), atol=1e-5)


def test_names_and_wrong_settings() -> None:
    assert feature_names()[:4] == tuple(f"{shape} 0.3" for shape in SHAPES)
    cloud = np.zeros((3, 3))
    for radius in (0.0, -1.0, float("nan")):
        with pytest.raises(ArgumentError, match="radii"):
            geometric_features(cloud, [radius])
    with pytest.raises(ArgumentError, match="grain"):
        geometric_features(cloud, [1.0], grain=0.9)
    with pytest.raises(DataError, match="no points"):
        geometric_features(np.zeros((0, 3)))
