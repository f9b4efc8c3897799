from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.simplex_encoding import gram_distance, seli
from steelyard.diagnosis.unconstrained import collapse_ridge, unconstrained_step
from steelyard.diagnosis.unconstrained_training import _Problem, descend_unconstrained, train_unconstrained

COUNTS = [20, 20, 20, 2, 2]


@pytest.mark.parametrize("share", [1.2, 0.8, 0.1, 1e-2, 1e-3])
@pytest.mark.parametrize("shared", [False, True])
def test_training_ends_in_the_exact_solution(share: float, shared: bool) -> None:
    ridge = share * float(collapse_ridge(COUNTS)[-1])
    trained, exact = train_unconstrained(COUNTS, ridge, shared=shared, seed=3), unconstrained_step(COUNTS, ridge)
    assert abs(trained.objective - exact.objective) < 1e-12
    assert abs(trained.loss - exact.loss) < 1e-7
    assert gram_distance(trained.grams.classifier, exact.grams.classifier) < 1e-6
    assert gram_distance(trained.grams.means, exact.grams.means) < 1e-6
    np.testing.assert_allclose(trained.grams.product, exact.grams.product, atol=1e-5)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 20), st.integers(1, 3), st.floats(0.002, 0.9))
@settings(max_examples=15)
def test_random_step_profiles_end_in_the_exact_solution(
    large: int, small: int, ratio: int, smallest: int, share: float
) -> None:
    counts = [ratio * smallest] * large + [smallest] * small
    ridge = share * float(collapse_ridge(counts).min())
    trained, exact = train_unconstrained(counts, ridge, shared=True), unconstrained_step(counts, ridge)
    assert abs(trained.objective - exact.objective) < 1e-11
    assert gram_distance(trained.grams.classifier, exact.grams.classifier) < 1e-6
    assert gram_distance(trained.grams.means, exact.grams.means) < 1e-6


def test_any_counts_approach_seli_as_the_ridge_shrinks() -> None:
    counts = [40, 17, 6, 3, 1]
    limit, ridges = seli(counts), (1e-2, 1e-3, 1e-4, 1e-5)
    found = [train_unconstrained(counts, ridge, shared=True).grams for ridge in ridges]
    for name in ("classifier", "means", "product"):
        gaps = [gram_distance(getattr(one, name), getattr(limit, name)) for one in found]
        assert all(later < earlier for earlier, later in itertools.pairwise(gaps))
    # Rows of a class and one embedding for all of them give the same optimum.
    apart = train_unconstrained(counts, 1e-3).grams
    assert gram_distance(apart.classifier, found[1].classifier) < 1e-6
    assert gram_distance(apart.means, found[1].means) < 1e-6


def test_without_a_ridge_angles_approach_seli_while_norms_grow() -> None:
    limit = seli(COUNTS)
    states = [state for _, state in descend_unconstrained(COUNTS, at=(30, 300, 3000))]
    gaps = [gram_distance(state.grams.means, limit.means) for state in states]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gram_distance(states[-1].grams.classifier, limit.classifier) < 0.05
    assert states[0].loss > states[1].loss > states[2].loss
    assert np.trace(states[2].grams.classifier) > 2 * np.trace(states[1].grams.classifier)


def test_with_a_ridge_descent_ends_in_the_exact_solution_and_not_in_seli() -> None:
    ridge = 0.2 * float(collapse_ridge(COUNTS)[-1])
    exact, limit = unconstrained_step(COUNTS, ridge), seli(COUNTS)
    (_, state), *_ = descend_unconstrained(COUNTS, ridge, at=(3000,), shared=True)
    assert gram_distance(state.grams.classifier, exact.grams.classifier) < 1e-4
    assert gram_distance(state.grams.classifier, limit.classifier) > 0.05


def test_descent_does_not_stop_where_the_loss_is_too_small_for_a_float() -> None:
    *_, (steps, state) = descend_unconstrained([3, 3], at=(2000,), shared=True)
    assert steps == 2000
    assert np.isfinite(state.grams.classifier).all()


def test_gradient_is_that_of_finite_differences() -> None:
    problem = _Problem.of([5, 2, 1], 0.01, 4, shared=False)
    place = problem.start(0) * 3
    value, slope = problem.objective(place)
    rng = np.random.default_rng(1)
    for _ in range(5):
        way = rng.normal(size=place.size)
        ahead, behind = (problem.objective(place + sign * 1e-5 * way)[0] for sign in (1, -1))
        np.testing.assert_allclose((ahead - behind) / 2e-5, slope @ way, rtol=1e-6, atol=1e-9)
    rows, classifier = problem.parts(place)[1], problem.parts(place)[0]
    logits = rows @ classifier.T
    plain = np.log(np.exp(logits).sum(1)) - logits[np.arange(8), problem.target]
    np.testing.assert_allclose(value, plain.mean() + 0.005 * place @ place, rtol=1e-12)


def test_a_seed_is_a_start() -> None:
    first, again, other = (train_unconstrained([6, 3], 0.01, seed=seed) for seed in (0, 0, 1))
    assert (first.grams.product == again.grams.product).all()
    assert (first.grams.product != other.grams.product).any()


@pytest.mark.parametrize(
    ("given", "name"), [({"ridge": 0.0}, "ridge"), ({"ridge": float("nan")}, "ridge"), ({"ridge": 0.1, "dim": 0}, "dim")]
)
def test_arguments_are_checked(given: dict[str, float], name: str) -> None:
    with pytest.raises(ArgumentError, match=name):
        train_unconstrained([4, 2], **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("at", [(), (5, 5), (-1, 3)])
def test_steps_have_to_rise(at: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="at"):
        next(descend_unconstrained([4, 2], at=at))
