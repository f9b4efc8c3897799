from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.decisions import Adjusted, ClassConformal

SEEDS = st.integers(0, 2**32 - 1)


def drawn(rows: int, seed: int, prior: tuple[float, ...] = (0.8, 0.15, 0.05)) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are not calibrated, and classes."""
    draw = np.random.default_rng(seed)
    target = draw.choice(len(prior), rows, p=prior)
    scores = draw.normal(size=(rows, len(prior))) + 1.5 * np.eye(len(prior))[target]
    odds = np.exp(2 * scores)
    return odds / odds.sum(1, keepdims=True), target


@given(SEEDS, st.floats(0.01, 0.9))
def test_the_limit_is_the_quantile_of_the_class_counted_by_hand(seed: int, alpha: float) -> None:
    proba, target = drawn(60, seed)
    found = ClassConformal(alpha).fit(proba, target)
    assert found.lowest is not None
    for c in range(3):
        own = sorted((1 - proba[target == c, c]).tolist())
        rank = math.ceil(round((len(own) + 1) * (1 - alpha), 9))
        expected = 1 - own[rank - 1] if rank <= len(own) else 0.0
        assert float(found.lowest[c]) == pytest.approx(expected, abs=1e-12)
        assert (c in found.always) == (rank > len(own))


def test_every_class_is_covered_as_often_as_promised_and_hardly_more() -> None:
    # With n calibration rows the coverage is, on average, k / (n + 1) exactly where scores have no ties.
    alpha, times, covered = 0.2, 400, np.zeros((400, 3))
    for seed in range(times):
        draw = np.random.default_rng(seed)
        target = np.repeat([0, 1, 2], [50, 20, 7])
        scores = np.exp(draw.normal(size=(77 + 300, 3)) + 1.5 * np.eye(3)[np.concatenate([target, np.repeat([0, 1, 2], 100)])])
        proba = scores / scores.sum(1, keepdims=True)
        sets = ClassConformal(alpha).fit(proba[:77], target).sets(proba[77:])
        covered[seed] = [sets[100 * c : 100 * c + 100, c].mean() for c in range(3)]
    expected = np.array([math.ceil((n + 1) * (1 - alpha) - 1e-9) / (n + 1) for n in (50, 20, 7)])
    error = covered.std(0) / math.sqrt(times)
    assert (np.abs(covered.mean(0) - expected) < 4 * error).all()
    assert (expected >= 1 - alpha).all()


def test_the_promise_does_not_depend_on_the_class_mix() -> None:
    proba, target = drawn(3000, 0)
    other, truth = drawn(6000, 1, (0.05, 0.15, 0.8))
    sets = ClassConformal(0.1).fit(proba, target).sets(other)
    recall = [sets[truth == c, c].mean() for c in range(3)]
    np.testing.assert_allclose(recall, 0.9, atol=0.06)


def test_a_class_with_too_few_rows_is_in_every_set() -> None:
    proba, target = drawn(40, 0, (0.5, 0.5, 0.0))
    found = ClassConformal(0.1).fit(np.concatenate([proba, proba[:8]]), np.concatenate([target, [2] * 8]))  # 9 would do
    assert found.always == (2,)
    assert found.sets(np.array([[1.0, 0.0, 0.0]]))[0, 2]
    assert ClassConformal(0.1).fit(proba, target).always == (2,)  # none at all
    assert ClassConformal(0.1).fit(np.concatenate([proba, proba[:9]]), np.concatenate([target, [2] * 9])).always == ()


@given(SEEDS)
def test_classes_are_permuted_together(seed: int) -> None:
    proba, target = drawn(60, seed)
    order = np.random.default_rng(seed).permutation(3)
    one, other = ClassConformal().fit(proba, target), ClassConformal().fit(proba[:, order], order.argsort()[target])
    np.testing.assert_array_equal(one.sets(proba)[:, order], other.sets(proba[:, order]))


@given(SEEDS)
def test_a_smaller_alpha_gives_larger_sets(seed: int) -> None:
    proba, target = drawn(80, seed)
    small, large = (ClassConformal(alpha).fit(proba, target).sets(proba) for alpha in (0.05, 0.3))
    assert (small >= large).all()


def test_an_alpha_a_class() -> None:
    proba, target = drawn(500, 0)
    one, both = ClassConformal([0.1, 0.4, 0.2]).fit(proba, target), ClassConformal(0.4).fit(proba, target)
    np.testing.assert_array_equal(one.sets(proba)[:, 1], both.sets(proba)[:, 1])


@given(SEEDS)
def test_the_largest_score_is_the_most_probable_class_of_the_set(seed: int) -> None:
    proba, target = drawn(60, seed)
    found = ClassConformal(0.5).fit(proba, target)
    new, _ = drawn(50, seed + 1)
    sets = found.sets(new)
    inside = np.where(sets.any(1, keepdims=True), np.where(sets, new, -1.0), new)
    np.testing.assert_array_equal(found(torch.from_numpy(new).log()).argmax(1).numpy(), inside.argmax(1))


def test_tensors_and_certain_rows() -> None:
    proba = torch.eye(2)[[0, 1] * 20]
    found = ClassConformal(0.2).fit(proba, torch.tensor([0, 1] * 20))
    assert torch.equal(found.sets(proba), proba.bool())
    assert found(proba.log()).isfinite().all()
    assert Adjusted(torch.nn.Linear(3, 2), found)(torch.randn(4, 3)).shape == (4, 2)


@pytest.mark.parametrize("voters", [3, 10, 100])
def test_sets_are_the_same_of_probabilities_and_of_their_logarithms(voters: int) -> None:
    """Shares of votes, as of forests: limits are among them, and rounding must not take the class out."""
    share = np.arange(voters + 1) / voters
    rows = np.stack([1 - share, share], 1)
    for one in rows[1:]:
        decision = ClassConformal(0.1).fit(np.tile(one, (20, 1)), np.ones(20, dtype=np.int64))
        with np.errstate(divide="ignore"):
            scores = decision(torch.from_numpy(np.log(rows)))
        np.testing.assert_array_equal(scores.numpy() > -900, decision.sets(rows))


def test_state_goes_round_into_a_decision_that_was_not_fitted() -> None:
    proba, target = drawn(60, 0)
    one = ClassConformal(0.3).fit(proba, target)
    other, third = ClassConformal(), ClassConformal.from_json(json.loads(json.dumps(one.to_json())))
    other.load_state_dict(one.state_dict())
    for copy in (other, third):
        np.testing.assert_array_equal(copy.sets(proba), one.sets(proba))
        assert copy.always == one.always
        assert torch.equal(copy.alpha, one.alpha)
    assert ClassConformal.from_json(ClassConformal(0.2).to_json()).lowest is None


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan, [0.1, 1.2], []])
def test_an_alpha_that_cannot_be_is_refused(alpha: Any) -> None:
    with pytest.raises(ArgumentError, match="`alpha`"):
        ClassConformal(alpha)


def test_what_cannot_be_used_is_refused() -> None:
    proba, target = drawn(20, 0)
    with pytest.raises(ArgumentError, match="call fit"):
        ClassConformal().sets(proba)
    with pytest.raises(ArgumentError, match="call fit"):
        ClassConformal()(torch.zeros(1, 2))
    with pytest.raises(ArgumentError, match="`alpha`"):
        ClassConformal([0.1, 0.1]).fit(proba, target)
    with pytest.raises(ArgumentError, match="`target`"):
        ClassConformal().fit(proba, target[1:])
    with pytest.raises(ArgumentError, match="`proba`"):
        ClassConformal().fit(proba, target).sets(proba[:, :2])
