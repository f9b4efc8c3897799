from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, DataError
from steelyard.decisions import Adjusted, PriorShift
from steelyard.decisions.prior_shift import on_simplex

SEEDS = st.integers(0, 2**32 - 1)
MIXES = st.lists(st.floats(0.01, 1), min_size=2, max_size=5).map(lambda parts: np.array(parts) / sum(parts))


def some_proba(classes: int, seed: int, rows: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.5), rows)


def gaussians(rows: int, prior: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes with this mix, and one feature: normal with mean 0, 2, 4, ... and variance 1."""
    draw = np.random.default_rng(seed)
    target = draw.choice(len(prior), rows, p=prior)
    return draw.normal(size=rows) + 2.0 * target, target


def posterior(feature: np.ndarray, prior: Any) -> np.ndarray:
    joint = np.exp(-0.5 * np.square(feature[:, None] - 2.0 * np.arange(len(prior)))) * np.asarray(prior)
    return joint / joint.sum(1, keepdims=True)


@given(MIXES, SEEDS)
def test_it_is_bayes_rule(mix: np.ndarray, seed: int) -> None:
    source = mix[::-1].copy()
    proba = some_proba(len(mix), seed)
    joint = proba / source * mix
    shift = PriorShift(source, mix)
    expected = joint / joint.sum(1, keepdims=True)
    np.testing.assert_allclose(shift.proba(proba), expected, rtol=1e-10, atol=1e-15)
    with np.errstate(divide="ignore"):
        scores = shift(torch.from_numpy(np.log(proba)))
    np.testing.assert_allclose(scores.softmax(1).numpy(), expected, rtol=1e-10, atol=1e-15)


def test_it_gives_the_posterior_of_the_other_mix() -> None:
    feature, _ = gaussians(50, [0.5, 0.3, 0.2], 0)
    source, target = [0.9, 0.05, 0.05], [0.1, 0.2, 0.7]
    np.testing.assert_allclose(
        PriorShift(source, target).proba(posterior(feature, source)), posterior(feature, target), rtol=1e-9
    )


@given(MIXES, SEEDS)
def test_the_same_prior_changes_nothing_and_the_way_back_undoes_it(mix: np.ndarray, seed: int) -> None:
    proba, other = some_proba(len(mix), seed) * 0.99 + 0.01 / len(mix), np.roll(mix, 1)
    np.testing.assert_allclose(PriorShift(mix, mix).proba(proba), proba, rtol=1e-12)
    np.testing.assert_allclose(PriorShift(other, mix).proba(PriorShift(mix, other).proba(proba)), proba, rtol=1e-9)


@given(MIXES, SEEDS)
def test_classes_are_permuted_together(mix: np.ndarray, seed: int) -> None:
    proba, order = some_proba(len(mix), seed), np.random.default_rng(seed).permutation(len(mix))
    source = np.full(len(mix), 1 / len(mix))
    one, other = PriorShift(source, mix).proba(proba), PriorShift(source, mix[order]).proba(proba[:, order])
    np.testing.assert_allclose(one[:, order], other, rtol=1e-12)


def test_certain_rows_stay_certain_and_nothing_is_nan() -> None:
    certain = np.array([[1.0, 0.0], [0.0, 1.0], [1e-320, 1.0]])
    np.testing.assert_array_equal(PriorShift([0.5, 0.5], [1 - 1e-9, 1e-9]).proba(certain)[:2], certain[:2])
    assert torch.isfinite(PriorShift([0.5, 0.5], [0.9, 0.1])(torch.from_numpy(certain).log())).all()


def test_a_class_that_does_not_occur_has_probability_zero() -> None:
    shift = PriorShift([0.5, 0.3, 0.2], [0.0, 0.5, 0.5])
    proba = np.array([[0.98, 0.01, 0.01], [1.0, 0.0, 0.0]])
    shifted = shift.proba(proba)
    assert (shifted[:, 0] == 0).all()
    np.testing.assert_allclose(shifted.sum(1), 1)
    assert not shift(torch.from_numpy(proba).log()).softmax(1).isnan().any()


def test_a_tensor_gives_a_tensor_of_its_precision() -> None:
    proba = torch.tensor([[0.5, 0.5]], dtype=torch.bfloat16)
    shifted = PriorShift([0.5, 0.5], [0.75, 0.25]).proba(proba)
    assert torch.equal(shifted, torch.tensor([[0.75, 0.25]]))
    assert PriorShift([0.5, 0.5], [0.9, 0.1])(proba).dtype == torch.float32


def test_it_is_a_decision_of_a_model() -> None:
    model = torch.nn.Linear(3, 2)
    adjusted = Adjusted(model, PriorShift([0.9, 0.1], [0.5, 0.5]))
    adjusted(torch.randn(4, 3)).sum().backward()
    assert model.weight.grad is not None
    assert set(adjusted.state_dict()) == {"model.weight", "model.bias", "decision.source_prior", "decision.target_prior"}


@pytest.mark.parametrize(("source", "target"), [([0.5, 0.5], [0.93, 0.07]), ([0.8, 0.1, 0.1], [0.2, 0.3, 0.5])])
def test_em_recovers_a_shift(source: list[float], target: list[float]) -> None:
    feature, truth = gaussians(20_000, target, 1)
    found = PriorShift.em(posterior(feature, source), source)
    assert found.note == ""
    np.testing.assert_allclose(found.target_prior.numpy(), np.bincount(truth) / len(truth), atol=0.01)


def plain_em(proba: np.ndarray, source: np.ndarray, weight: np.ndarray, steps: int) -> np.ndarray:
    """Equation 2.5 of Saerens et al., as it is written."""
    q = source
    for _ in range(steps):
        joint = proba * (q / source)
        q = (weight[:, None] * joint / joint.sum(1, keepdims=True)).sum(0) / weight.sum()
    return q


@settings(max_examples=15)
@given(MIXES, SEEDS)
def test_em_ends_where_plain_em_does(mix: np.ndarray, seed: int) -> None:
    feature, _ = gaussians(300, mix, seed)
    source = np.full(len(mix), 1 / len(mix))
    proba, weight = posterior(feature, source), np.random.default_rng(seed).integers(0, 4, 300).astype(float)
    found = PriorShift.em(proba, source, sample_weight=weight).target_prior.numpy()
    expected = plain_em(proba, source, weight, 1500)

    def likelihood(q: np.ndarray) -> float:
        return float(weight @ np.log((proba / source) @ q)) / weight.sum()

    assert likelihood(found) >= likelihood(expected) - 1e-9
    np.testing.assert_allclose(found, expected, atol=2e-3)
    repeated = PriorShift.em(np.repeat(proba, weight.astype(int), axis=0), source).target_prior.numpy()
    np.testing.assert_allclose(found, repeated, atol=1e-6)


def test_em_learns_nothing_from_rows_that_say_nothing() -> None:
    found = PriorShift.em(np.tile([0.7, 0.2, 0.1], (9, 1)), [0.7, 0.2, 0.1])
    np.testing.assert_allclose(found.target_prior.numpy(), [0.7, 0.2, 0.1])


def test_em_says_that_it_was_stopped() -> None:
    feature, _ = gaussians(500, [0.9, 0.1], 0)
    assert "stopped after 1 steps" in PriorShift.em(posterior(feature, [0.3, 0.7]), [0.3, 0.7], iterations=1).note


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_bbse_solves_the_linear_system_of_the_paper(kind: str) -> None:
    source, target = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    (feature, truth), (free, free_truth) = gaussians(4000, source, 2), gaussians(4000, target, 3)
    proba, unlabelled = posterior(feature, [1 / 3] * 3), posterior(free, [1 / 3] * 3)  # calibrated for neither mix
    found = PriorShift.bbse(proba, truth, unlabelled, kind=kind)
    says = np.eye(3)[proba.argmax(1)] if kind == "hard" else proba
    seen = np.eye(3)[unlabelled.argmax(1)] if kind == "hard" else unlabelled
    joint = says.T @ np.eye(3)[truth] / len(truth)  # C[i, y] = share of rows of class y decided to be i
    ratios = np.linalg.solve(joint, seen.mean(0))
    np.testing.assert_allclose(found.target_prior.numpy(), ratios * np.bincount(truth) / len(truth), atol=1e-10)
    np.testing.assert_allclose(found.target_prior.numpy(), np.bincount(free_truth) / 4000, atol=0.03)
    np.testing.assert_allclose(found.source_prior.numpy(), np.bincount(truth) / len(truth))


def test_bbse_counts_rows_by_their_weights() -> None:
    (feature, truth), (free, _) = gaussians(300, [0.5, 0.5], 2), gaussians(300, [0.2, 0.8], 3)
    proba, unlabelled, weight = posterior(feature, [0.5, 0.5]), posterior(free, [0.5, 0.5]), np.arange(300) % 3
    weighted = PriorShift.bbse(proba, truth, unlabelled, sample_weight=weight, source_prior=[0.5, 0.5])
    repeated = PriorShift.bbse(proba.repeat(weight, 0), truth.repeat(weight), unlabelled, source_prior=[0.5, 0.5])
    np.testing.assert_allclose(weighted.target_prior.numpy(), repeated.target_prior.numpy())


def test_bbse_moves_negative_shares_onto_the_simplex_and_says_so() -> None:
    truth = np.repeat([0, 1], 10)
    proba = np.eye(2)[np.where(np.arange(20) % 5 == 0, 1 - truth, truth)]
    found = PriorShift.bbse(proba, truth, np.eye(2)[[0] * 9 + [1]])  # fewer of class 1 than there are mistakes
    assert "class 1" in found.note
    np.testing.assert_allclose(found.target_prior.numpy(), [1, 0], atol=1e-9)


def test_bbse_refuses_a_model_that_never_decides_for_a_class() -> None:
    blind = np.tile([0.9, 0.1], (6, 1))
    with pytest.raises(DataError, match=r"class 1 is never decided for.*soft"):
        PriorShift.bbse(blind, [0, 0, 0, 1, 1, 1], blind)
    with pytest.raises(DataError, match="some classes are decided alike"):
        PriorShift.bbse(np.eye(2)[[0, 1, 0, 1]], [0, 0, 1, 1], np.eye(2))


def test_bbse_refuses_labelled_rows_without_a_class() -> None:
    with pytest.raises(DataError, match=r"no rows .* of class 2"):
        PriorShift.bbse(np.eye(3), [0, 1, 1], np.eye(3))


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6), SEEDS)
def test_no_point_of_the_simplex_is_nearer(values: list[float], seed: int) -> None:
    point = np.array(values)
    near = on_simplex(point)
    others = np.concatenate([some_proba(len(point), seed, 200), np.eye(len(point))])
    assert near.min() >= 0
    assert near.sum() == pytest.approx(1)
    assert np.linalg.norm(near - point) <= np.linalg.norm(others - point, axis=1).min() + 1e-9


@given(MIXES)
def test_state_goes_round(mix: np.ndarray) -> None:
    one = PriorShift(np.roll(mix, 1), mix)
    other, third = PriorShift(mix, mix), PriorShift.from_json(json.loads(json.dumps(one.to_json())))
    other.load_state_dict(one.state_dict())
    for copy in (other, third):
        assert torch.equal(copy.source_prior, one.source_prior)
        assert torch.equal(copy.target_prior, one.target_prior)


@pytest.mark.parametrize(
    ("source", "target", "named"),
    [
        ([0.0, 1.0], [0.5, 0.5], "source_prior"),
        ([90, 10], [0.5, 0.5], "source_prior"),
        ([0.5, 0.5], [0.5, 0.3, 0.2], "target_prior"),
        ([0.5, 0.5], [1.5, -0.5], "target_prior"),
        ([0.5, np.nan], [0.5, 0.5], "source_prior"),
        ([1.0], [1.0], "source_prior"),
        ("half", [0.5, 0.5], "source_prior"),
    ],
)
def test_priors_that_are_none_are_refused(source: Any, target: Any, named: str) -> None:
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        PriorShift(source, target)


@pytest.mark.parametrize(
    "proba", [[[0.5, 0.6]], [[1.5, -0.5]], [[np.nan, 1]], [0.5, 0.5], [[0.2, 0.3, 0.5]], np.empty((0, 2)), "x"]
)
def test_what_is_no_probability_is_refused(proba: Any) -> None:
    shift = PriorShift([0.5, 0.5], [0.9, 0.1])
    with pytest.raises(ArgumentError, match="`proba`"):
        shift.proba(proba)


def test_wrong_settings_are_refused() -> None:
    rows = np.full((4, 2), 0.5)
    with pytest.raises(ArgumentError, match="`kind`"):
        PriorShift.bbse(rows, [0, 1, 0, 1], rows, kind="firm")
    with pytest.raises(ArgumentError, match="`iterations`"):
        PriorShift.em(rows, [0.5, 0.5], iterations=0)
    with pytest.raises(ArgumentError, match="`sample_weight`"):
        PriorShift.em(rows, [0.5, 0.5], sample_weight=[1, 1, 1, -1])
    with pytest.raises(ArgumentError, match="`target`"):
        PriorShift.bbse(rows, [0, 1, 2, 0], rows)
    with pytest.raises(ArgumentError, match="`logits`"):
        PriorShift([0.5, 0.5], [0.9, 0.1])(torch.zeros(1, 3))
