from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.finite_sample import (
    abstract_rule,
    collapse_eta,
    effective_delta,
    intrinsic_delta,
    lda_equivalents,
    lost_recall,
    recall_at,
    ridge_equivalents,
)
from steelyard.diagnosis.gaussian import bayes

kappas = st.floats(1.05, 1e4)
etas = st.floats(1.0, 500.0)
deltas = st.floats(0.1, 6.0)


def simulated(n0: int, n1: int, eigenvalues: np.ndarray, mean: np.ndarray, lam: float, replicates: int) -> np.ndarray:
    """Exact conditional recalls and separability of (ridge) LDA, a row a replicate."""
    rng = np.random.default_rng(3)
    d, found = eigenvalues.size, []
    for _ in range(replicates):
        X = rng.normal(size=(n0 + n1, d)) * np.sqrt(eigenvalues)
        X[n0:] += mean
        means = X[:n0].mean(0), X[n0:].mean(0)
        R = np.concatenate([X[:n0] - means[0], X[n0:] - means[1]])
        w = np.linalg.solve(R.T @ R / (n0 + n1 - 2) + lam * np.eye(d), means[1] - means[0])
        middle, sd, t = w @ (means[0] + means[1]) / 2, np.sqrt(w**2 @ eigenvalues), np.log(n0 / n1)
        found.append([norm.cdf((w @ mean - middle - t) / sd), norm.cdf((t + middle) / sd), w @ mean / sd])
    return np.array(found)


def test_known_values() -> None:
    found = lda_equivalents(2, 50, 498)
    plain, corrected = found.recalls(450, 50), found.recalls(450, 50, corrected=True)
    assert (plain.minority, plain.majority) == (pytest.approx(0.4298914519, abs=1e-9), pytest.approx(0.9681865068, abs=1e-9))
    assert plain.delta_eff == pytest.approx(1.6781341, abs=1e-7)
    assert (corrected.minority, corrected.majority) == (
        pytest.approx(0.5039130902, abs=1e-7),
        pytest.approx(0.9523743, abs=2e-7),
    )
    even = found.recalls(450, 50, corrected=True, threshold=0)
    assert even.minority == even.majority == pytest.approx(0.7992841593, abs=1e-9)
    bare = found.recalls(450, 50, threshold=0)
    assert (bare.minority, bare.majority) == (pytest.approx(0.7430, abs=1e-4), pytest.approx(0.8474, abs=1e-4))


@pytest.mark.parametrize(("n0", "n1", "d", "delta"), [(170, 30, 25, 2.3), (90, 12, 40, 3.1), (60, 60, 30, 1.4)])
def test_plain_lda_simulated(n0: int, n1: int, d: int, delta: float) -> None:
    mean = np.full(d, delta / np.sqrt(d))
    found = simulated(n0, n1, np.ones(d), mean, 0.0, 120)
    theory = lda_equivalents(delta, d, n0 + n1 - 2).recalls(n0, n1)
    # Three standard errors, and what is left out in so few dimensions.
    slack = 3 * found.std(0) / np.sqrt(120) + np.array([0.01, 0.01, 0.04])
    assert (np.abs(found.mean(0) - [theory.minority, theory.majority, theory.delta_eff]) < slack).all()


@pytest.mark.parametrize(("n0", "n1", "d", "lam"), [(120, 30, 60, 0.5), (40, 20, 100, 0.3)])
def test_ridge_lda_simulated(n0: int, n1: int, d: int, lam: float) -> None:
    rng = np.random.default_rng(8)
    eigenvalues = rng.gamma(1.0, size=d) + 0.05
    mean = rng.normal(size=d) * np.sqrt(eigenvalues)
    mean *= 3 / np.sqrt((mean**2 / eigenvalues).sum())
    found = simulated(n0, n1, eigenvalues, mean, lam, 120)
    theory = ridge_equivalents(eigenvalues, mean, n0 + n1 - 2, lam).recalls(n0, n1)
    slack = 3 * found.std(0) / np.sqrt(120) + np.array([0.012, 0.012, 0.05])
    assert (np.abs(found.mean(0) - [theory.minority, theory.majority, theory.delta_eff]) < slack).all()


@given(st.floats(0.02, 50.0), st.integers(20, 300), st.integers(5, 400))
def test_ridge_of_an_isotropic_covariance_has_a_closed_form(lam: float, dof: int, dim: int) -> None:
    y, step = dim / dof, 1e-6 * lam

    def first(ridge: float) -> float:
        inside = np.sqrt((1 - y + ridge) ** 2 + 4 * y * ridge)
        # The plain form loses its digits where it subtracts like numbers.
        return float(2 / (inside + 1 - y + ridge) if 1 - y + ridge > 0 else (inside - (1 - y + ridge)) / (2 * y * ridge))

    found = ridge_equivalents(np.ones(dim), np.eye(dim)[0] * 2.0, dof, lam)
    second = -(first(lam + step) - first(lam - step)) / (2 * step)
    assert float(found.a) == pytest.approx(4 * first(lam), rel=1e-8)
    assert float(found.b) == pytest.approx(dim * first(lam), rel=1e-8)
    assert float(found.c) == pytest.approx(4 * second, rel=1e-4)
    assert float(found.d) == pytest.approx(dim * second, rel=1e-4)


@given(st.integers(2, 40), st.integers(60, 300), deltas)
def test_a_vanishing_ridge_is_plain_lda(dim: int, dof: int, delta: float) -> None:
    ridge = ridge_equivalents(np.ones(dim), np.eye(dim)[0] * delta, dof, 1e-9)
    plain = lda_equivalents(delta, dim, dof)
    for one in "abcd":
        assert float(getattr(ridge, one)) == pytest.approx(float(getattr(plain, one)), rel=1e-5)


@given(etas, kappas, deltas)
def test_the_formula_in_the_three_scales(eta: float, kappa: float, delta: float) -> None:
    keep = 1 - 1 / kappa
    below = 2 * np.sqrt(delta**2 + (1 + eta) ** 2 / (eta * kappa))
    z = np.sqrt(keep) * (delta**2 - (eta - 1 / eta) / kappa - 2 * keep * np.log(eta)) / below
    assert float(recall_at(eta, kappa, delta)) == pytest.approx(norm.cdf(z), abs=1e-9)
    expected = delta * np.sqrt(keep) * np.sqrt(delta**2 / (delta**2 + (1 + eta) ** 2 / (eta * kappa)))
    assert float(effective_delta(eta, kappa, delta)) == pytest.approx(expected)
    assert effective_delta(eta, kappa, delta) <= delta


@given(etas, deltas)
def test_endless_rows_give_the_bayes_rule(eta: float, delta: float) -> None:
    assert float(recall_at(eta, 1e9, delta)) == pytest.approx(float(bayes(eta, delta).minority_recall), abs=1e-4)


@given(st.floats(1.1, 1e4), deltas)
def test_the_recall_is_one_half_where_it_collapses(kappa: float, delta: float) -> None:
    eta = collapse_eta(kappa, delta)
    assert float(recall_at(eta, kappa, delta)) == pytest.approx(0.5, abs=1e-6)
    assert 1 <= eta <= np.exp(delta**2 / 2) * (1 + 1e-6)


def test_known_collapses() -> None:
    assert collapse_eta(5, 2) == pytest.approx(5.929, abs=1e-3)
    assert collapse_eta(10, 3) == pytest.approx(29.261, abs=1e-3)
    assert collapse_eta(1e6, 2) == pytest.approx(np.exp(2), rel=1e-3)
    assert collapse_eta(4, 0) == pytest.approx(1.0)


def test_the_abstract_s_rule_misses_what_simulation_shows() -> None:
    eta, kappa, delta, d = 10, 20.0, 1.0, 20
    n1 = round(kappa * d / (1 + eta))
    n0 = int(kappa * d) - n1
    recall = simulated(n0, n1, np.ones(d), np.full(d, delta / np.sqrt(d)), 0.0, 20).mean(0)[0]
    rule = abstract_rule(n0 / n1, kappa, delta)
    assert recall < 0.2
    assert not rule.collapses
    assert rule.ratio == pytest.approx(np.log(n0 / n1) / (delta * np.sqrt(kappa)))
    assert collapse_eta(kappa, delta) < n0 / n1


@given(st.integers(60, 400), st.integers(5, 60), st.integers(1, 40), deltas)
def test_the_distance_behind_a_reached_separability(n0: int, n1: int, dim: int, delta: float) -> None:
    dof = n0 + n1 - 2
    reached = lda_equivalents(delta, dim, dof).recalls(n0, n1).delta_eff
    assert float(intrinsic_delta(reached, n0, n1, dim, dof)) == pytest.approx(delta, rel=1e-9)


@given(st.integers(60, 400), st.integers(5, 60), st.integers(1, 40), deltas)
def test_the_parts_of_the_lost_recall_add_up(n0: int, n1: int, dim: int, delta: float) -> None:
    parts = lost_recall(delta, n0, n1, dim)
    gone = parts.ideal - parts.recall
    assert parts.prior + parts.count_bias + parts.estimation + parts.interaction == pytest.approx(gone)
    assert parts.curable + parts.estimation == pytest.approx(gone)
    assert parts.estimation >= 0
    # What is curable is what an intercept and a threshold for equal classes give back.
    found = lda_equivalents(delta, dim, n0 + n1 - 2).recalls(n0, n1, corrected=True, threshold=0)
    assert parts.recall + parts.curable == pytest.approx(float(found.minority))


def test_known_parts() -> None:
    parts = lost_recall(2, 450, 50, 50)
    assert parts.ideal == pytest.approx(0.8413, abs=1e-4)
    assert parts.ideal - parts.prior == pytest.approx(norm.cdf(1 - np.log(9) / 2))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: lda_equivalents(2, 50, 50), "dim"),
        (lambda: lda_equivalents(-1, 5, 50), "delta"),
        (lambda: lda_equivalents(2, 5, 50).recalls(10, 0), "n1"),
        (lambda: ridge_equivalents([1, 1], [1], 5, 1.0), "eigenvalues"),
        (lambda: ridge_equivalents([1, -1], [1, 1], 5, 1.0), "eigenvalues"),
        (lambda: ridge_equivalents([1], [1], 5, 0.0), "lam"),
        (lambda: ridge_equivalents([1], [1], 0, 1.0), "dof"),
        (lambda: recall_at(2, 1, 2), "kappa"),
        (lambda: collapse_eta(0.5, 2), "kappa"),
        (lambda: effective_delta(2, 5, -2), "delta"),
        (lambda: intrinsic_delta(1, 10, 10, 30, 20), "dim"),
        (lambda: abstract_rule(0, 1, 1), "eta"),
    ],
)
def test_errors_name_the_argument(call: object, name: str) -> None:
    with pytest.raises(ArgumentError, match=f"`{name}`"):
        call()  # type: ignore[operator]
