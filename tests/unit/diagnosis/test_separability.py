from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ncf, norm

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.prepare import within
from steelyard.diagnosis.separability import (
    auroc_interval,
    debiased,
    eta_interval,
    jackknife_interval,
    multiclass_recalls,
    near_gaussian,
    noncentral_f_interval,
    squared_distances,
)


def gaussian(rng: np.random.Generator, n0: int, n1: int, d: int, delta: float) -> tuple[np.ndarray, np.ndarray]:
    X = rng.normal(size=(n0 + n1, d))
    X[n0:, 0] += delta
    return X, np.repeat([0, 1], [n0, n1])


def test_the_distance_is_unbiased_and_its_exact_interval_covers() -> None:
    rng = np.random.default_rng(0)
    n0, n1, d, delta = 60, 12, 8, 1.7
    squares = np.array([squared_distances(within(*gaussian(rng, n0, n1, d, delta), 2))[0, 1] for _ in range(1500)])
    found = debiased(squares, n0, n1, d, n0 + n1 - 2)
    assert abs(found.mean() - delta**2) < 4 * found.std() / np.sqrt(1500)
    # The plug-in is far off, so the test would notice.
    assert squares.mean() > delta**2 + 8 * squares.std() / np.sqrt(1500)
    low, high = noncentral_f_interval(squares, n0, n1, d, n0 + n1 - 2)
    assert 0.93 < ((low <= delta) & (delta <= high)).mean() < 0.97


def test_the_jackknife_covers_where_rows_have_heavy_tails() -> None:
    rng = np.random.default_rng(1)
    n0, n1, d, hits, exact = 150, 60, 3, 0, 0
    for _ in range(160):
        X, y = gaussian(rng, n0, n1, d, 0.0)
        X = rng.standard_t(5, size=X.shape) / np.sqrt(5 / 3)
        X[n0:, 0] += 3.0
        found = within(X, y, 2)
        low, high = jackknife_interval(found, y, np.bincount(y), d, (0, 1))
        hits += low <= 3.0 <= high
        low, high = noncentral_f_interval(squared_distances(found)[0, 1], n0, n1, d, found.dof)
        exact += low <= 3.0 <= high
    assert 0.88 <= hits / 160 <= 0.99
    assert exact < hits


@settings(max_examples=20)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 8), st.integers(1, 3), st.integers(0, 99))
def test_the_jackknife_is_what_leaving_rows_out_gives(n0: int, n1: int, n2: int, d: int, seed: int) -> None:
    counts = np.array([n0 + 4, n1, n2])
    y = np.repeat([0, 1, 2], counts)
    X = np.random.default_rng(seed).normal(size=(y.size, d)) + y[:, None]
    classes = 3 if n2 else 2

    def distance(keep: np.ndarray) -> float:
        found, left = within(X[keep], y[keep], classes), np.bincount(y[keep], minlength=classes)
        usable = left > 0
        u = found.means[0] - found.means[1]
        assert usable[:2].all()
        return float(debiased(u @ np.linalg.solve(found.covariance(), u), left[0], left[1], d, found.dof))

    everyone = np.ones(y.size, dtype=bool)
    variance = 0.0
    for c in range(classes):
        if counts[c] > 1:
            values = []
            for row in np.flatnonzero(y == c):
                keep = everyone.copy()
                keep[row] = False
                values.append(distance(keep))
            variance += (counts[c] - 1) / counts[c] * np.square(np.array(values) - np.mean(values)).sum()
    half = norm.ppf(0.975) * np.sqrt(variance)
    middle = distance(everyone)
    found = jackknife_interval(within(X, y, classes), y, counts[:classes], d, (0, 1))
    expected = np.sqrt(np.maximum([middle - half, middle + half], 0))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=25)
@given(st.floats(0.01, 100), st.integers(5, 500), st.integers(5, 500), st.integers(1, 9))
def test_the_limits_solve_their_equations(squares: float, n0: int, n1: int, d: int) -> None:
    m = n0 + n1 - 2 + d
    low, high = noncentral_f_interval(squares, n0, n1, d, m, level=0.9)
    k = n0 * n1 / (n0 + n1)
    statistic = k * (m - d + 1) / (m * d) * squares
    for limit, p in ((low, 0.95), (high, 0.05)):
        reached = ncf.cdf(statistic, d, m - d + 1, max(k * limit**2, 1e-9))
        assert reached == pytest.approx(p, abs=1e-6) or (limit == 0 and reached <= p)
    assert low <= high


def test_limits_of_many_rows() -> None:
    """Where the noncentrality is in the millions."""
    low, high = noncentral_f_interval(4.0, 5e6, 5e6, 50, 10_000_000)
    assert 1.99 < low < 2 < high < 2.01


def test_known_intervals() -> None:
    for (n0, n1, d, squares), expected in {
        (200, 20, 20, 5.6437): (2.147, 6.584),
        (450, 50, 100, 7.8052): (2.586, 5.754),
        (95, 5, 10, 12.5094): (3.825, 17.17),
    }.items():
        low, high = noncentral_f_interval(squares, n0, n1, d, n0 + n1 - 2)
        np.testing.assert_allclose([low**2, high**2], expected, rtol=3e-4)


def test_kurtosis_tells_gaussian_rows_from_others() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [300, 100])
    assert np.mean([near_gaussian(within(rng.normal(size=(400, 6)), y, 2)) for _ in range(60)]) > 0.95
    assert not near_gaussian(within(rng.standard_t(4, size=(400, 6)), y, 2))
    assert not near_gaussian(within(rng.integers(0, 2, size=(400, 6)).astype(float), y, 2))


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_the_interval_of_a_ratio(n0: int, n1: int) -> None:
    low, high = eta_interval(n0, n1)
    assert low < n0 / n1 < high
    assert low * high == pytest.approx((n0 / n1) ** 2)
    assert np.log(high / low) == pytest.approx(2 * 1.959964 * np.sqrt(1 / n0 + 1 / n1), rel=1e-5)


def test_the_interval_of_an_area_without_overlap_is_a_bound() -> None:
    low, high = auroc_interval(1.0, 0.0, 100, 20)
    assert high == 1.0
    # With this area twenty of twenty rows are right once in forty times.
    assert low**20 == pytest.approx(0.025)
    assert auroc_interval(0.0, 0.0, 100, 20) == (0.0, pytest.approx(1 - low))
    assert auroc_interval(0.999, 10.0, 5, 5)[1] <= 1.0


def test_recalls_of_many_classes_are_between_their_bounds() -> None:
    """Against the Bayes rule of five Gaussian classes, simulated."""
    rng = np.random.default_rng(4)
    counts, means = np.array([1000, 300, 100, 30, 10.0]), rng.normal(size=(5, 6)) * 1.1
    gaps = means[:, None] - means[None]
    delta = np.sqrt(np.square(gaps).sum(-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = delta / 2 - np.log(counts[None] / counts[:, None]) / delta
    low, middle, high = multiclass_recalls(z)
    for c in range(5):
        X = rng.normal(size=(20_000, 6)) + means[c]
        scores = X @ means.T - 0.5 * np.square(means).sum(1) + np.log(counts)
        recall = (scores.argmax(1) == c).mean()
        assert low[c] - 0.01 <= recall <= high[c] + 0.01
        assert abs(recall - middle[c]) < 0.06
    two = multiclass_recalls(z[:2, :2])
    np.testing.assert_allclose(two[0], two[2])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: debiased(1.0, 10, 10, 18, 18), "dof"),
        (lambda: noncentral_f_interval(1.0, 10, 10, 19, 18), "dof"),
        (lambda: noncentral_f_interval(1.0, 10, 10, 3, 18, level=1.0), "level"),
        (
            lambda: jackknife_interval(
                within(np.eye(4), np.array([0, 0, 0, 1]), 2), np.array([0, 0, 0, 1]), np.array([3, 1]), 1, (0, 1)
            ),
            "pair",
        ),
    ],
)
def test_errors_name_the_argument(call: object, name: str) -> None:
    with pytest.raises(ArgumentError, match=f"`{name}`"):
        call()  # type: ignore[operator]
