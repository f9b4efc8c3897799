from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.metrics import average_precision_score

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis._normal import cdf, log_cdf, log_tail_ratio, pdf, quantile
from steelyard.diagnosis.gaussian import average_precision, bayes, collapse_eta, delta_of_auroc, shifted

ORACLE = [
    # eta, delta, tpr, tnr, err, precision, f1, ba, gmean, mcc, auc, ap, slope
    (1, 2, 0.841345, 0.841345, 0.158655, 0.841345, 0.841345, 0.841345, 0.841345, 0.682689, 0.921350, 0.921768, -0.120985),
    (10, 2, 0.439872, 0.984273, 0.065218, 0.736634, 0.550826, 0.712073, 0.657993, 0.538148, 0.921350, 0.648069, -0.197201),
    (100, 2, 0.096358, 0.999521, 0.009421, 0.667961, 0.168421, 0.547940, 0.310342, 0.251365, 0.921350, 0.267635, -0.085397),
    (10, 1, 0.035727, 0.997465, 0.089966, 0.584973, 0.067341, 0.516596, 0.188775, 0.128415, 0.760250, 0.273506, -0.078583),
    (100, 4, 0.801978, 0.999187, 0.002765, 0.907982, 0.851694, 0.900583, 0.895168, 0.851974, 0.997661, 0.921101, -0.069573),
]
etas = st.floats(1.0, 1e6)
deltas = st.floats(0.01, 8.0)


@pytest.mark.parametrize("row", ORACLE)
def test_known_values(row: tuple[float, ...]) -> None:
    eta, delta = row[:2]
    found = bayes(eta, delta)
    values = [found.minority_recall, found.majority_recall, found.error, found.precision, found.f1, found.balanced_accuracy]
    values += [found.g_mean, found.mcc, found.auroc, average_precision(eta, delta), found.slope]
    np.testing.assert_allclose(values, row[2:], atol=1.01e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_simulation_of_a_million_rows_agrees(seed: int) -> None:
    rng = np.random.default_rng([5, seed])
    eta, eta_test, delta = rng.uniform(1, 60), rng.uniform(1, 60), rng.uniform(0.5, 3.5)
    n = 1_000_000
    small, large = rng.normal(delta**2 / 2, delta, n), rng.normal(-(delta**2) / 2, delta, n)
    tpr, fpr = (small > np.log(eta)).mean(), (large > np.log(eta)).mean()
    found = bayes(eta, delta, eta_test=eta_test)
    assert abs(tpr - found.minority_recall) < 0.002
    assert abs(1 - fpr - found.majority_recall) < 0.002
    assert abs((1 - tpr + eta_test * fpr) / (1 + eta_test) - found.error) < 0.002
    assert abs(2 * tpr / (1 + tpr + eta_test * fpr) - found.f1) < 0.01
    assert abs((tpr + 1 - fpr) / 2 - found.balanced_accuracy) < 0.002
    few = 100_000
    marks = np.repeat([1, 0], few)
    scores = np.concatenate([small[:few], large[:few]])
    area = average_precision_score(marks, scores, sample_weight=np.where(marks == 1, 1.0, eta_test))
    assert abs(area - average_precision(eta_test, delta)) < 0.01


@given(etas, deltas)
def test_no_threshold_beats_the_bayes_rule(eta: float, delta: float) -> None:
    best = bayes(eta, delta)
    around = bayes(eta, delta, threshold=np.log(eta) + np.linspace(-2, 2, 41))
    assert best.error <= around.error.min() + 1e-12


@given(etas, deltas)
def test_the_slope_is_the_derivative(eta: float, delta: float) -> None:
    step = 1e-5 * delta
    above, below = (float(bayes(eta * np.exp(s), delta).minority_recall) for s in (step, -step))
    assert (above - below) / (2 * step) == pytest.approx(float(bayes(eta, delta).slope), abs=1e-4 / delta)


@given(deltas)
def test_the_recall_is_one_half_and_falls_fastest_where_it_collapses(delta: float) -> None:
    at = np.exp(delta**2 / 2)
    assert float(collapse_eta(delta)) == pytest.approx(at)
    assert float(bayes(at, delta).minority_recall) == pytest.approx(0.5)
    slopes = bayes(at * np.exp(np.linspace(-1, 1, 21)), delta).slope
    assert slopes.argmin() == 10
    assert slopes[10] == pytest.approx(-1 / (delta * np.sqrt(2 * np.pi)))


@given(etas, deltas, st.floats(1, 1e4))
def test_names_swapped_is_the_ratio_inverted(eta: float, delta: float, eta_test: float) -> None:
    one, other = bayes(eta, delta, eta_test=eta_test), bayes(1 / eta, delta, eta_test=1 / eta_test)
    assert float(one.minority_recall) == pytest.approx(float(other.majority_recall))
    assert float(one.error) == pytest.approx(float(other.error))
    assert float(one.mcc) == pytest.approx(float(other.mcc), abs=1e-9)


@given(etas, deltas, st.floats(1, 1e4))
def test_precision_is_right_where_both_rates_vanish(eta: float, delta: float, eta_test: float) -> None:
    found = bayes(eta, delta, eta_test=eta_test)
    shift = np.log(eta) / delta
    log_odds = stats.norm.logcdf(delta / 2 - shift) - stats.norm.logcdf(-delta / 2 - shift)
    # scipy's two logarithms cancel far out; near the middle they are exact.
    if shift < 20:
        assert float(found.precision) == pytest.approx(1 / (1 + eta_test * np.exp(-log_odds)), rel=1e-6)
    assert 1 / (1 + eta_test) - 1e-12 <= found.precision <= 1


def test_precision_grows_with_eta_on_balanced_rows_and_falls_at_the_natural_ratio() -> None:
    eta = np.array([1, 10, 100, 1000])
    np.testing.assert_allclose(bayes(eta, 2, eta_test=1).precision, [0.841345, 0.965482, 0.995054, 0.999404], atol=1e-6)
    assert (np.diff(bayes(eta, 2).precision) < 0).all()


@settings(max_examples=15)
@given(st.floats(0.01, 1e4), st.floats(0, 6))
def test_average_precision_is_the_integral(eta_test: float, delta: float) -> None:
    def inside(z: float) -> float:
        ratio = np.exp(stats.norm.logcdf(z - delta) - stats.norm.logcdf(z))
        return float(stats.norm.pdf(z) / (1 + eta_test * ratio))

    slow = integrate.quad(inside, -12, 12, epsabs=1e-11, limit=400, points=[0, delta])[0]
    assert float(average_precision(eta_test, delta)) == pytest.approx(slow, abs=1e-8)


def test_identical_classes() -> None:
    even, uneven = bayes(1, 0), bayes(5, 0)
    assert (even.minority_recall, even.majority_recall) == (0.5, 0.5)
    assert (uneven.minority_recall, uneven.majority_recall, uneven.f1, uneven.mcc) == (0, 1, 0, 0)
    assert np.isnan(uneven.precision)
    assert uneven.boundary_shift == np.inf
    assert float(average_precision(4, 0)) == pytest.approx(0.2)


def test_shapes_broadcast_and_scalars_stay_scalar() -> None:
    found = bayes(np.ones((3, 1)), np.arange(1, 5))
    assert found.minority_recall.shape == found.precision.shape == found.slope.shape == (3, 4)
    assert np.ndim(bayes(2, 1).precision) == 0
    assert average_precision(np.ones((3, 1)), np.arange(1, 5)).shape == (3, 4)


@given(st.floats(0.51, 0.9999))
def test_auroc_and_separability(area: float) -> None:
    delta = delta_of_auroc(area)
    assert float(bayes(1, delta).auroc) == pytest.approx(area)
    assert float(delta_of_auroc(1 - area)) == pytest.approx(-float(delta))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: bayes(0, 1), "eta"),
        (lambda: bayes(np.inf, 1), "eta"),
        (lambda: bayes(2, -1), "delta"),
        (lambda: bayes(2, np.nan), "delta"),
        (lambda: bayes(2, 1, eta_test=-1), "eta_test"),
        (lambda: average_precision(0, 1), "eta_test"),
        (lambda: delta_of_auroc(1.2), "auroc"),
    ],
)
def test_errors_name_the_argument(call: object, name: str) -> None:
    with pytest.raises(ArgumentError, match=f"`{name}`"):
        call()  # type: ignore[operator]


def test_normal_functions() -> None:
    x = np.linspace(-30, 8, 77)
    np.testing.assert_allclose(cdf(x), stats.norm.cdf(x), rtol=1e-12)
    np.testing.assert_allclose(log_cdf(x), stats.norm.logcdf(x), rtol=1e-12)
    np.testing.assert_allclose(pdf(x), stats.norm.pdf(x), rtol=1e-12)
    np.testing.assert_allclose(quantile(cdf(x[30:60])), x[30:60], rtol=1e-9)
    middle, width = np.array([0.0, 5, -4, 1, 1e9]), np.array([1.0, 2, 3, 0, 1e-9])
    expected = stats.norm.logcdf(width[:4] / 2 - middle[:4]) - stats.norm.logcdf(-width[:4] / 2 - middle[:4])
    np.testing.assert_allclose(log_tail_ratio(middle[:4], width[:4]), expected, atol=1e-10)
    assert log_tail_ratio(middle, width)[4] == pytest.approx(1.0)
    assert shifted([0, 1, -1], [0, 0, 0]).tolist() == [0, np.inf, -np.inf]


def test_a_tiny_separability_overflows_nowhere() -> None:
    """Warnings are errors here: the square of the boundary's place would be infinite."""
    found = bayes([2.0, 100.0], 1e-160)
    assert found.minority_recall.tolist() == [0.0, 0.0]
    assert found.slope.tolist() == [0.0, 0.0]
