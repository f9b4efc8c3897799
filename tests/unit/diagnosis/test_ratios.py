from __future__ import annotations

import numpy as np
import pytest

from steelyard.diagnosis.ratios import measured_ratios


def two(n0: int, n1: int, dim: int, delta: float, seed: int = 0) -> np.ndarray:
    X = np.random.default_rng(seed).normal(size=(n0 + n1, dim))
    X[n0:, 0] += delta
    return X


def measure(n0: int, n1: int, dim: int, delta: float):
    return measured_ratios(two(n0, n1, dim, delta), np.arange(n0, n0 + n1), np.arange(n0), delta=delta)


def test_what_is_measured_is_what_the_closed_form_says_for_so_many_rows() -> None:
    found = measure(3000, 1000, 10, 2.0)
    assert found is not None
    assert found.eta[0] == 1
    assert found.recall == pytest.approx(found.predicted, abs=0.05)
    assert (found.low <= found.recall).all()
    assert (found.recall <= found.high).all()
    assert found.rows == 2 * (1000 - found.held_out)


def test_a_majority_that_is_hardly_larger_limits_the_ratio() -> None:
    found = measure(130, 120, 4, 2.0)
    assert found is not None
    # 160 rows in all; 90 of the majority are left to train on.
    assert found.eta[-1] == pytest.approx(90 / 70, abs=0.01)


def test_with_many_features_the_covariance_is_shrunk_and_nothing_predicted() -> None:
    found = measure(120, 60, 200, 6.0)
    assert found is not None
    assert np.isnan(found.predicted).all()
    assert found.recall[0] > 0.7


def test_few_rows_are_not_measured() -> None:
    assert measure(500, 11, 3, 2.0) is None
    assert measured_ratios(two(20, 30, 3, 2.0), np.arange(20, 50), np.arange(20)) is None
