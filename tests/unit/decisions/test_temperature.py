from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from steelyard.core.errors import ArgumentError
from steelyard.decisions import Adjusted, Temperature
from steelyard.decisions.temperature import PULL

SEEDS = st.integers(0, 2**32 - 1)


def problem(seed: int, rows: int = 300, classes: int = 3, factor: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `factor` times too large for the classes drawn from them."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(rows, classes))
    target = (logits + draw.gumbel(size=logits.shape)).argmax(1)
    return factor * logits, target


def nll(logits: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None) -> float:
    top = logits.max(1, keepdims=True)
    losses = np.log(np.exp(logits - top).sum(1)) + top[:, 0] - logits[np.arange(len(target)), target]
    return float(np.average(losses, weights=weight))


def test_it_recovers_the_factor_of_the_scores() -> None:
    logits, target = problem(0, rows=20_000)
    assert float(Temperature.fit(logits, target).temperature) == pytest.approx(3.0, rel=0.05)


def test_two_classes_of_equal_scores_have_a_closed_form() -> None:
    # Three of four rows are right: the probability of the larger score has to become 3/4, so 2 / T = log 3.
    assert float(Temperature.fit([[2.0, 0.0]] * 4, [0, 0, 0, 1]).temperature) == pytest.approx(2 / math.log(3), rel=1e-12)


@given(SEEDS, st.booleans())
def test_the_gradient_is_zero_at_the_temperature(seed: int, weighted: bool) -> None:
    logits, target = problem(seed)
    weight = np.random.default_rng(seed).random(len(target)) if weighted else np.ones(len(target))
    t = torch.tensor(float(Temperature.fit(logits, target, sample_weight=weight).temperature), dtype=torch.float64)
    t.requires_grad_()
    losses = torch.nn.functional.cross_entropy(torch.from_numpy(logits) / t, torch.from_numpy(target), reduction="none")
    (losses @ torch.from_numpy(weight) / weight.sum()).backward()
    assert t.grad is not None
    assert abs(float(t.grad)) < 1e-8


@pytest.mark.parametrize("seed", range(3))
def test_scipy_finds_the_same(seed: int) -> None:
    logits, target = problem(seed)
    logits[:, 0] += 2.0
    found = minimize(lambda at: nll(logits / np.exp(at[0]), target), [0.0], tol=1e-12)
    assert float(Temperature.fit(logits, target).temperature) == pytest.approx(float(np.exp(found.x[0])), rel=1e-4)

    def with_bias(at: np.ndarray) -> float:
        return nll(logits * at[0] + at[1:], target) + 0.5 * PULL / len(target) * float(at[1:] @ at[1:])

    ours = Temperature.fit(logits, target, bias=True)
    both = minimize(with_bias, np.array([1.0, 0, 0, 0]), method="BFGS", options={"gtol": 1e-8})
    assert ours.bias is not None
    np.testing.assert_allclose([1 / float(ours.temperature), *ours.bias.tolist()], both.x, atol=1e-4)


def test_scikit_learn_calibrates_alike() -> None:
    from sklearn.calibration import _SigmoidCalibration

    logits, target = problem(3, rows=2000, classes=2)
    logits[:, 1] -= 1.5
    score = logits[:, 1] - logits[:, 0]
    # Platt's targets are not 0 and 1 but smoothed; scikit-learn's sigmoid does as he did, by n + 1 over n + 2.
    sigmoid = _SigmoidCalibration().fit(score, target)
    ours = Temperature.fit(logits, target, bias=True).proba(logits)[:, 1]
    np.testing.assert_allclose(ours, sigmoid.predict(score), atol=5e-3)


def test_scikit_learns_temperature_is_the_same() -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    if not hasattr(calibration, "_TemperatureScaling"):
        pytest.skip("this scikit-learn has no temperature scaling")
    logits, target = problem(4, rows=1000)
    theirs = calibration._TemperatureScaling().fit(logits, target)
    np.testing.assert_allclose(Temperature.fit(logits, target).proba(logits), theirs.predict(logits), atol=1e-3)


@given(SEEDS, st.floats(1e-3, 1e3))
def test_it_grows_with_the_scores(seed: int, factor: float) -> None:
    logits, target = problem(seed)
    one, other = (float(Temperature.fit(k * logits, target).temperature) for k in (1.0, factor))
    assert other == pytest.approx(factor * one, rel=1e-6)


@given(SEEDS)
def test_classes_and_offsets_of_rows_do_not_matter(seed: int) -> None:
    logits, target = problem(seed)
    draw = np.random.default_rng(seed)
    order = draw.permutation(3)
    one = Temperature.fit(logits, target, bias=True)
    moved = Temperature.fit(logits[:, order] + draw.normal(size=(len(logits), 1)), order.argsort()[target], bias=True)
    assert one.bias is not None
    assert moved.bias is not None
    assert float(moved.temperature) == pytest.approx(float(one.temperature), rel=1e-6)
    np.testing.assert_allclose(moved.bias.numpy(), one.bias.numpy()[order], atol=1e-6)


@given(SEEDS, st.booleans(), st.integers(1, 6), st.integers(2, 4), st.sampled_from([1e-8, 1.0, 1e4]))
def test_it_is_never_worse_than_no_temperature(seed: int, bias: bool, rows: int, classes: int, size: float) -> None:
    draw = np.random.default_rng(seed)
    logits, target = size * draw.normal(size=(rows, classes)), draw.integers(0, classes, rows)
    fitted = Temperature.fit(logits, target, bias=bias)
    assert math.isfinite(float(fitted.temperature))
    assert float(fitted.temperature) > 0
    assert fitted.bias is None or fitted.bias.isfinite().all()
    calibrated = fitted(torch.from_numpy(logits)).numpy()
    assert nll(calibrated, target) <= nll(logits, target) * (1 + 1e-9) + 1e-9


def test_weights_are_as_good_as_repeated_rows() -> None:
    logits, target = problem(5)
    weight = np.arange(300) % 4
    for bias in (False, True):
        weighted = Temperature.fit(logits, target, bias=bias, sample_weight=weight)
        repeated = Temperature.fit(logits.repeat(weight, 0), target.repeat(weight), bias=bias)
        np.testing.assert_allclose(weighted.proba(logits), repeated.proba(logits), atol=1e-9)


def test_a_bias_makes_the_mean_probability_the_share_of_the_class() -> None:
    logits, target = problem(6, rows=3000)
    logits[:, 2] += 3.0  # what training on another class mix does
    mean = Temperature.fit(logits, target, bias=True).proba(logits).mean(0)
    np.testing.assert_allclose(mean, np.bincount(target) / 3000, atol=1e-4)


def test_a_class_without_rows_gets_a_low_but_finite_bias() -> None:
    fitted = Temperature.fit(np.random.default_rng(0).normal(size=(50, 3)), [0, 1] * 25, bias=True)
    assert fitted.bias is not None
    assert fitted.bias.argmin() == 2
    assert -20 < float(fitted.bias[2]) < -3


def test_scores_that_separate_give_a_small_temperature_and_equal_scores_none() -> None:
    fitted = Temperature.fit(np.eye(2)[[0, 1, 0]], [0, 1, 0])
    assert 0 < float(fitted.temperature) < 0.05
    assert nll(fitted(torch.eye(2)[[0, 1, 0]]).numpy(), np.array([0, 1, 0])) < 1e-12
    assert float(Temperature.fit(np.zeros((4, 2)), [0, 1, 1, 1]).temperature) == 1.0


@pytest.mark.parametrize("bias", [False, True])
def test_votes_that_were_all_wrong_do_not_make_the_others_worthless(bias: bool) -> None:
    """Forests say 0 where no tree voted for a class: that is little, but not the smallest number there is."""
    draw = np.random.default_rng(0)
    truth = draw.beta(0.3, 0.3, 4000)
    target = (draw.random(4000) < truth).astype(int)
    share = draw.binomial(20, truth) / 20
    proba = np.stack([1 - share, share], 1)
    with np.errstate(divide="ignore"):
        found = Temperature.fit(np.log(proba[:2000]), target[:2000], bias=bias)
        calibrated = found.proba(np.log(proba[2000:]))
    assert float(found.zero) == pytest.approx(np.log(0.5 / 20))
    best = -np.log(np.where(target == 1, truth, 1 - truth)[2000:]).mean()
    assert -np.log(calibrated[np.arange(2000), target[2000:]]).mean() < best + 0.05
    again = Temperature.from_json(json.loads(json.dumps(found.to_json())))
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(again.proba(np.log(proba[2000:])), calibrated)
    assert "zero=" in repr(found)


def test_scores_whose_squares_are_no_numbers_are_calibrated() -> None:
    one = Temperature.fit(np.array([[2.0, 0.0]] * 4) * 1e250, [0, 0, 0, 1])
    assert float(one.temperature) / 1e250 == pytest.approx(2 / np.log(3), rel=1e-9)


def test_zeros_that_were_never_wrong_stay_zeros() -> None:
    logits = np.array([[2.0, 0.0, -np.inf]] * 6 + [[-np.inf, 0.0, 1.0]] * 6)
    found = Temperature.fit(logits, [0] * 4 + [1] * 2 + [2] * 4 + [1] * 2)
    assert found.zero is None
    assert found.proba(logits)[0, 2] < 1e-100


def test_logarithms_of_zero_are_no_nan() -> None:
    with np.errstate(divide="ignore"):
        logs = np.log(np.array([[1.0, 0.0], [0.0, 1.0], [0.3, 0.7], [1.0, 0.0]]))
    for bias in (False, True):
        fitted = Temperature.fit(logs, [0, 1, 0, 1], bias=bias)
        assert np.isfinite(fitted.proba(logs)).all()
        assert fitted(torch.from_numpy(logs)).isfinite().all()


@given(SEEDS)
def test_temperature_one_changes_nothing(seed: int) -> None:
    logits = torch.from_numpy(problem(seed, rows=10)[0])
    assert torch.equal(Temperature()(logits), logits)
    assert torch.equal(Temperature(1.0, [0.0] * 3)(logits), logits)


@given(SEEDS, st.floats(0.01, 100))
def test_without_bias_decisions_stay(seed: int, temperature: float) -> None:
    logits = torch.from_numpy(problem(seed, rows=10)[0])
    assert torch.equal(Temperature(temperature)(logits).argmax(1), logits.argmax(1))


def test_it_takes_tensors_of_any_precision() -> None:
    logits, target = problem(7)
    tensor = torch.from_numpy(logits).bfloat16()
    fitted = Temperature.fit(tensor, torch.from_numpy(target), bias=True)
    assert float(fitted.temperature) == pytest.approx(
        float(Temperature.fit(tensor.float().numpy(), target, bias=True).temperature)
    )
    assert fitted(tensor).dtype == torch.float32
    assert isinstance(fitted.proba(tensor), torch.Tensor)


def test_it_is_a_decision_of_a_model() -> None:
    adjusted = Adjusted(torch.nn.Linear(2, 3), Temperature(2.0, [0.0, 1.0, 2.0]))
    assert adjusted(torch.randn(4, 2)).dtype == torch.float32
    assert {"decision.temperature", "decision.bias"} < set(adjusted.state_dict())


@given(st.floats(0.001, 1000), st.none() | st.lists(st.floats(-9, 9), min_size=3, max_size=3))
def test_state_goes_round(temperature: float, bias: list[float] | None) -> None:
    one = Temperature(temperature, bias)
    other, third = Temperature(2.0, bias and [0.0] * 3), Temperature.from_json(json.loads(json.dumps(one.to_json())))
    other.load_state_dict(one.state_dict())
    scores = torch.randn(4, 3)
    assert torch.equal(other(scores), one(scores))
    assert torch.equal(third(scores), one(scores))


@pytest.mark.parametrize(
    ("temperature", "bias", "named"),
    [(0.0, None, "temperature"), (math.nan, None, "temperature"), (1.0, [1.0, math.inf], "bias")],
)
def test_values_that_cannot_be_are_refused(temperature: float, bias: Any, named: str) -> None:
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        Temperature(temperature, bias)


@pytest.mark.parametrize("zero", [0.0, 1.0, -math.inf, math.nan])
def test_what_stands_for_zero_is_the_logarithm_of_a_probability(zero: float) -> None:
    with pytest.raises(ArgumentError, match="`zero`"):
        Temperature(1.0, zero=zero)


@pytest.mark.parametrize(
    ("logits", "target", "weight", "named"),
    [
        ([[math.nan, 0.0]], [0], None, "logits"),
        ([[math.inf, 0.0]], [0], None, "logits"),
        ([[-math.inf, -math.inf], [0.0, 1.0]], [0, 1], None, "logits"),
        ([0.0, 1.0], [0, 1], None, "logits"),
        ([[0.0, 1.0]], [2], None, "target"),
        ([[0.0, 1.0]], [0.5], None, "target"),
        ([[0.0, 1.0]], [0, 1], None, "target"),
        ([[0.0, 1.0]], [0], [0.0], "sample_weight"),
        ([[0.0, 1.0]], [0], [1.0, 1.0], "sample_weight"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(logits: Any, target: Any, weight: Any, named: str) -> None:
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        Temperature.fit(logits, target, sample_weight=weight)
