from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.simplex_encoding import Grams, etf, gram_distance, seli
from steelyard.diagnosis.unconstrained import collapse_ridge, unconstrained_relu, unconstrained_step

COUNTS = [100] * 5 + [10] * 5
LEAST = float(collapse_ridge(COUNTS)[9])

TABLE = [
    # ridge / threshold, ratio of classifier norms, cosine of two minority classifiers, distance of classifier and means to SELI
    (1.5, 13.66651, 1.00000, 0.43382, 1.17760),
    (1.01, 5.09242, 1.00000, 0.34530, 1.14382),
    (0.99, 4.62031, 0.81182, 0.33652, 1.09157),
    (0.8, 2.67772, 0.17443, 0.24784, 0.55341),
    (0.5, 2.17702, 0.06876, 0.18055, 0.32619),
    (0.1, 1.91216, 0.02953, 0.12119, 0.20452),
    (1e-2, 1.82471, 0.02414, 0.09279, 0.15518),
    (1e-3, 1.78298, 0.02379, 0.07646, 0.12730),
]

steps = st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 2, 7, 100, 10**6]), st.integers(1, 20))


def stationarity(counts: list[int], grams: Grams, ridge: float) -> float:
    """How far the logits are from the optimum of the convex problem: cross-entropy plus ridge times the nuclear norm.

    With Z sqrt(D) = U s V^T the gradient has to be -ridge (U V^T + X), X orthogonal to both and of spectral norm at most 1.
    """
    n, k = np.asarray(counts, dtype=float), len(counts)
    logits = grams.product - grams.product.max(0)
    proba = np.exp(logits) / np.exp(logits).sum(0)
    pull = (np.eye(k) - proba) * np.sqrt(n) / n.sum() / ridge
    left, values, right = np.linalg.svd(grams.product * np.sqrt(n))
    kept = values > 1e-9 * max(values[0], 1)
    left, right = left[:, kept], right[kept]
    inside = max(np.abs(left.T @ pull - right).max(initial=0.0), np.abs(pull @ right.T - left).max(initial=0.0))
    beyond = np.linalg.norm(pull - left @ right, 2) - 1
    return float(max(inside, beyond))


@pytest.mark.parametrize("row", TABLE)
def test_known_values(row: tuple[float, ...]) -> None:
    found, limit = unconstrained_step(COUNTS, row[0] * LEAST).grams, seli(COUNTS)
    gram = found.classifier
    values = [np.sqrt(gram[0, 0] / gram[9, 9]), gram[8, 9] / gram[9, 9]]
    values += [gram_distance(gram, limit.classifier), gram_distance(found.means, limit.means)]
    np.testing.assert_allclose(values, row[1:], atol=6e-6)


@given(steps, st.floats(-12.0, 0.5))
@settings(max_examples=60)
def test_optimality_conditions_hold_at_every_ridge(profile: tuple[int, int, int, int], power: float) -> None:
    large, small, ratio, smallest = profile
    counts = [ratio * smallest] * large + [smallest] * small
    ridge = float(collapse_ridge(counts).max()) * np.exp(power)
    found = unconstrained_step(counts, ridge)
    assert stationarity(counts, found.grams, ridge) < 1e-7
    # Both factors have the ridge's share, and together they make the logits.
    n = np.array(counts)
    np.testing.assert_allclose(np.trace(found.grams.classifier), n @ np.diag(found.grams.means), atol=1e-9)
    # G_W = (Z D Z^T)^(1/2), and the means are what the classifier's pseudo-inverse makes of the logits.
    product = found.grams.product
    np.testing.assert_allclose(found.grams.classifier @ found.grams.classifier, (product * n) @ product.T, atol=1e-8)
    made = product.T @ np.linalg.pinv(found.grams.classifier, rcond=1e-9, hermitian=True) @ product
    np.testing.assert_allclose(made, found.grams.means, atol=1e-8)


def test_convergence_to_seli_is_logarithmic_and_ends_below_a_millionth() -> None:
    limit = seli(COUNTS)
    gaps = []
    for log_ridge in (-1e2, -1e4, -1e6, -1e8):
        found = unconstrained_step(COUNTS, log_ridge=log_ridge).grams
        gaps.append((gram_distance(found.classifier, limit.classifier), gram_distance(found.means, limit.means)))
    assert max(gaps[-1]) < 1e-6
    # A hundredth of the distance takes the ridge to the power of a hundred.
    np.testing.assert_allclose(np.divide(gaps[1:], gaps[:-1]), 0.01, rtol=0.02)


@pytest.mark.parametrize("counts", [COUNTS, [40] * 2 + [4] * 3, [1000, 1000, 1000, 10, 10]])
def test_minorities_collapse_exactly_at_the_threshold(counts: list[int]) -> None:
    for side in (0, -1):
        threshold = float(collapse_ridge(counts)[side])
        first, second = (0, 1) if side == 0 else (-1, -2)
        above, below = (unconstrained_step(counts, threshold * by).grams for by in (1.001, 0.999))
        assert np.allclose(above.classifier[first], above.classifier[second], atol=1e-12)
        assert np.allclose(above.means[first], above.means[second], atol=1e-12)
        assert not np.allclose(below.classifier[first], below.classifier[second], atol=1e-6)


def test_the_threshold_of_the_specimen() -> None:
    np.testing.assert_allclose(LEAST, 0.0057496, atol=5e-8)


def test_geometry_depends_on_the_ridge_over_its_threshold_only() -> None:
    first = unconstrained_step(COUNTS, LEAST / 10).grams
    counts = [10 * n for n in COUNTS]
    second = unconstrained_step(counts, collapse_ridge(counts)[9] / 10).grams
    assert gram_distance(first.classifier, second.classifier) < 1e-12
    assert gram_distance(first.means, second.means) < 1e-12


@pytest.mark.parametrize("k", [2, 3, 10])
def test_equal_counts_have_margins_in_closed_form(k: int) -> None:
    n, ridge = 25, 0.004
    found = unconstrained_step([n] * k, ridge)
    margin = np.log(1 / (ridge * np.sqrt(n)) - (k - 1))
    np.testing.assert_allclose(found.grams.product, margin * (np.eye(k) - 1 / k), atol=1e-12)
    assert gram_distance(found.grams.classifier, etf(k).classifier) < 1e-12
    assert gram_distance(found.grams.means, etf(k).means) < 1e-12


def test_order_of_the_classes_does_not_matter() -> None:
    order = [3, 7, 0, 9, 1, 2, 8, 4, 6, 5]
    first, second = unconstrained_step(COUNTS, 1e-3), unconstrained_step([COUNTS[i] for i in order], 1e-3)
    for name in ("classifier", "means", "product"):
        np.testing.assert_allclose(getattr(second.grams, name), getattr(first.grams, name)[np.ix_(order, order)], atol=1e-12)


def test_too_large_a_ridge_leaves_nothing() -> None:
    found = unconstrained_step(COUNTS, 1.0)
    assert not found.grams.product.any()
    np.testing.assert_allclose([found.loss, found.objective], np.log(10))


def test_relu_known_values() -> None:
    found = unconstrained_relu([100, 50, 20, 10], 0.01)
    np.testing.assert_allclose(found.state.objective, 0.73235392, atol=5e-9)
    np.testing.assert_allclose(found.margins, [2.78779, 2.36163, 1.72395, 1.12681], atol=6e-6)
    np.testing.assert_allclose(np.diag(found.state.grams.means), [0.24143, 0.28924, 0.33384, 0.30859], atol=6e-6)


def test_relu_solution_is_a_minimum_of_the_factors() -> None:
    """Classifier and non-negative embeddings with these Grams, moved at random: the objective never falls."""
    counts, ridge = np.array([30.0, 8.0, 3.0, 1.0]), 0.022
    found = unconstrained_relu(counts.astype(int), ridge)
    lengths = np.sqrt(np.diag(found.state.grams.means))
    embeddings = np.diag(lengths)
    with np.errstate(divide="ignore", invalid="ignore"):
        classifier = (np.eye(4) - 1 / 4) * np.where(lengths > 0, found.margins / lengths, 0)

    def objective(w: np.ndarray, h: np.ndarray) -> float:
        logits = h @ w.T
        losses = np.log(np.exp(logits).sum(1)) - np.diag(logits)
        return float(counts @ losses / counts.sum() + ridge / 2 * (np.square(w).sum() + counts @ np.square(h).sum(1)))

    best = objective(classifier, embeddings)
    np.testing.assert_allclose(best, found.state.objective, rtol=1e-12)
    assert found.margins[-1] == 0 < found.margins[-2]
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-2, 1e-1):
        for _ in range(50):
            w, h = classifier + size * rng.normal(size=(4, 4)), np.maximum(embeddings + size * rng.normal(size=(4, 4)), 0)
            assert objective(w, h) >= best - 1e-12


@pytest.mark.parametrize("given", [{}, {"ridge": 0.0}, {"ridge": 1.0, "log_ridge": 0.0}, {"log_ridge": float("-inf")}])
def test_exactly_one_positive_ridge_is_wanted(given: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match="ridge"):
        unconstrained_step([4, 2], **given)


def test_more_than_two_sizes_are_for_training() -> None:
    with pytest.raises(ArgumentError, match="train_unconstrained"):
        unconstrained_step([4, 2, 1], 0.1)
