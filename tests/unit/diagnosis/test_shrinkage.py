from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.covariance import ledoit_wolf, oas

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.finite_sample import Equivalents
from steelyard.diagnosis.prepare import within
from steelyard.diagnosis.shrinkage import parts_of, shrinkage, shrunk


@settings(max_examples=20)
@given(st.integers(3, 60), st.integers(1, 60), st.integers(0, 100))
def test_the_intensities_are_scikit_learn_s(n: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) * rng.exponential(size=d)
    covariance, rho = ledoit_wolf(rows, assume_centered=True)
    assert shrinkage(rows, d) == pytest.approx(rho, abs=1e-9)
    keep, lam = parts_of(rows, n, d)
    np.testing.assert_allclose(keep * rows.T @ rows / n + lam * np.eye(d), covariance, atol=1e-10)
    if d > 1:
        assert shrinkage(rows, d, "oas") == pytest.approx(oas(rows, assume_centered=True)[1], abs=1e-9)


def test_turned_rows_and_missing_axes_change_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 90))
    u, s, _ = np.linalg.svd(rows, full_matrices=False)
    for kind in ("ledoit-wolf", "oas"):
        assert shrinkage(u * s, 90, kind) == pytest.approx(shrinkage(rows, 90, kind))  # type: ignore[arg-type]


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`kind`"):
        shrinkage(np.eye(3), 3, "lasso")  # type: ignore[arg-type]


@pytest.mark.parametrize(("n0", "n1", "d"), [(100, 30, 80), (30, 15, 120)])
def test_the_equivalents_predict_what_shrinkage_lda_does(n0: int, n1: int, d: int) -> None:
    """Estimated from the training rows alone, against the rule's exact recalls on the true populations."""
    rng = np.random.default_rng(1)
    spread = np.sqrt(rng.gamma(2.0, size=d) + 0.1)
    mean = 3 * spread / np.sqrt(d)
    y = np.repeat([0, 1], [n0, n1])
    said, true = [], []
    for _ in range(60):
        X = rng.normal(size=(n0 + n1, d)) * spread
        X[n0:] += mean
        found = within(X, y, 2)
        e = shrunk(found, np.array([n0, n1], dtype=float), d).equivalents
        recalls = Equivalents(e.a[1, 0], e.b, e.c[1, 0], e.d).recalls(n0, n1)
        even = Equivalents(e.a[1, 0], e.b, e.c[1, 0], e.d).recalls(n0, n1, corrected=True, threshold=0)
        said.append([recalls.minority, recalls.majority, recalls.delta_eff, even.minority])
        covariance = ledoit_wolf(found.residuals, assume_centered=True)[0] * (n0 + n1) / found.dof
        w = np.linalg.solve(covariance, found.means[1] - found.means[0])
        middle, sd, t = w @ found.means.mean(0), np.linalg.norm(w * spread), np.log(n0 / n1)
        reached = w @ mean / sd
        true.append([norm.cdf((w @ mean - middle - t) / sd), norm.cdf((t + middle) / sd), reached, norm.cdf(reached / 2)])
    assert (np.abs(np.mean(said, 0) - np.mean(true, 0)) < [0.03, 0.03, 0.12, 0.03]).all()


@pytest.mark.parametrize(
    ("rows", "target", "rho"),
    [
        ([[2.0, 0], [-1, 1], [-1, -1], [5, 5]], [0, 0, 0, 1], 1.0),
        ([[1.0, 0], [-1, 0], [3, 1], [3, -1]], [0, 0, 1, 1], 0.0),
        ([[1.0, 0], [1, 0], [3, 1], [3, 1]], [0, 0, 1, 1], 0.0),
    ],
    ids=["nothing kept", "a multiple of the identity", "no spread"],
)
def test_extreme_covariances_stay_finite(rows: list[list[float]], target: list[int], rho: float) -> None:
    found = shrunk(within(np.array(rows), np.array(target), 2), np.bincount(target).astype(float), 2)
    assert found.rho == rho
    assert np.isfinite(found.equivalents.recalls(2, 2).minority).all()
