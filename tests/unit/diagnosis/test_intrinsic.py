from __future__ import annotations

import numpy as np
import pytest

from steelyard.diagnosis.intrinsic import components, participation_ratio, two_nearest


@pytest.mark.parametrize("n", [60, 300])
def test_the_participation_ratio_counts_equal_variances_whatever_the_rows(n: int) -> None:
    rng = np.random.default_rng(n)
    found = [participation_ratio(X - X.mean(0), n - 1) for X in (rng.normal(size=(n, 100)) for _ in range(12))]
    assert np.mean(found) == pytest.approx(100, abs=6)


def test_the_participation_ratio_of_a_power_law() -> None:
    spectrum = 1 / np.arange(1, 201)
    rng = np.random.default_rng(0)
    true = spectrum.sum() ** 2 / (spectrum**2).sum()
    found = [
        participation_ratio(X - X.mean(0), 99) for X in (rng.normal(size=(100, 200)) * np.sqrt(spectrum) for _ in range(12))
    ]
    assert np.mean(found) == pytest.approx(true, rel=0.08)


def test_it_is_nan_where_rows_are_too_few() -> None:
    assert np.isnan(participation_ratio(np.ones((2, 3)), 1))


@pytest.mark.parametrize("dim", [2, 5])
def test_two_nearest_sees_the_manifold(dim: int) -> None:
    rng = np.random.default_rng(dim)
    turned = rng.normal(size=(1500, dim)) @ np.linalg.qr(rng.normal(size=(40, dim)))[0].T
    assert two_nearest(turned) == pytest.approx(dim, rel=0.12)


def test_two_nearest_leaves_repeated_rows_out() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 3))
    assert two_nearest(np.concatenate([rows, rows[:20]])) == pytest.approx(two_nearest(rows), rel=0.1)
    assert np.isnan(two_nearest(np.ones((30, 2))))
    assert np.isnan(two_nearest(rows[:4]))


def test_components() -> None:
    rows = np.diag([3.0, 2.0, 1.0, 0.001])
    assert components(rows) == 3
    assert components(rows, 0.6) == 1
    assert components(rows, 1.0) == 4
