"""Metrics of probabilities against scikit-learn, torchmetrics and loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from steelyard import metrics
from steelyard.core.errors import ArgumentError

seeds = st.integers(0, 10**6)


def problem(seed: int, rows: int = 60, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, 0.5), rows), rng.integers(0, classes, rows)


def ece_by_loop(confidence: np.ndarray, outcome: np.ndarray, bins: int) -> float:
    """Bin by bin, row by row, as in the definition."""
    total = 0.0
    for b in range(bins):
        inside = [i for i, c in enumerate(confidence) if b / bins <= c < (b + 1) / bins or (b == bins - 1 and c == 1)]
        if inside:
            total += len(inside) / len(confidence) * abs(np.mean(outcome[inside]) - np.mean(confidence[inside]))
    return total


@given(seed=seeds, bins=st.integers(1, 20))
def test_ece_agrees_with_a_loop(seed: int, bins: int) -> None:
    proba, truth = problem(seed)
    expected = ece_by_loop(proba.max(1), (proba.argmax(1) == truth).astype(float), bins)
    assert metrics.ece(proba, truth, bins) == pytest.approx(expected)
    by_class = [ece_by_loop(proba[:, c], (truth == c).astype(float), bins) for c in np.unique(truth)]
    assert metrics.classwise_ece(proba, truth, bins) == pytest.approx(np.mean(by_class))


@given(seed=seeds)
def test_ece_agrees_with_torchmetrics(seed: int) -> None:
    functional = pytest.importorskip("torchmetrics.functional.classification")
    proba, truth = problem(seed)
    expected = functional.multiclass_calibration_error(torch.from_numpy(proba), torch.from_numpy(truth), 4, n_bins=15)
    assert metrics.ece(proba, truth) == pytest.approx(float(expected), abs=1e-6)


@given(seed=seeds, classes=st.integers(2, 5))
def test_brier_and_log_loss_agree_with_scikit_learn(seed: int, classes: int) -> None:
    proba, truth = problem(seed, 50, classes)
    onehot = np.eye(classes)[truth]
    assert metrics.brier(proba, truth) == pytest.approx(((proba - onehot) ** 2).sum(1).mean())
    assert metrics.log_loss(proba, truth) == pytest.approx(sk.log_loss(truth, proba, labels=range(classes)))


def test_brier_of_two_classes_is_twice_scikit_learns_default() -> None:
    proba, truth = problem(1, 50, 2)
    assert metrics.brier(proba, truth) == pytest.approx(2 * sk.brier_score_loss(truth, proba[:, 1]))


def test_a_certain_error_costs_a_finite_log_loss() -> None:
    assert metrics.log_loss(np.array([[1.0, 0.0]], dtype=np.float32), [1]) == pytest.approx(-np.log(np.finfo(float).eps))


def test_values_on_the_edges_of_bins_are_in_one_bin_each() -> None:
    proba = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    diagram = metrics.reliability(proba, [0, 0, 0], bins=4)
    assert diagram["count"] == [0, 0, 1, 2]
    assert diagram["accuracy"][2:] == [1.0, 0.5]
    assert diagram["bin_low"] == [0.0, 0.25, 0.5, 0.75]


@given(seed=seeds)
def test_the_reliability_diagram_adds_up_to_the_ece(seed: int) -> None:
    proba, truth = problem(seed)
    d = {name: np.array(column) for name, column in metrics.reliability(proba, truth).items()}
    assert d["count"].sum() == 60
    gaps = np.abs(d["confidence"] - d["accuracy"]) * d["count"] / 60
    assert np.nansum(gaps) == pytest.approx(metrics.ece(proba, truth))


def test_calibrated_probabilities_pass_and_overconfident_ones_do_not() -> None:
    rng = np.random.default_rng(0)
    p_values, excess = [], []
    for trial in range(60):
        proba = rng.dirichlet(np.ones(3), 200)
        truth = (rng.random((200, 1)) > proba.cumsum(1)).sum(1)
        result = metrics.calibration_test(proba, truth, resamples=99, seed=trial)
        p_values.append(result.p)
        excess.append(result.excess)
        assert result.ece == metrics.ece(proba, truth)
    # Sixty uniform p-values: the share below .2 has standard error .052; the mean excess, measured .0120 a trial, .0016.
    assert 0.05 < np.mean(np.array(p_values) <= 0.2) < 0.36
    assert abs(np.mean(excess)) < 0.006
    sharp = proba**4 / (proba**4).sum(1, keepdims=True)
    assert metrics.calibration_test(sharp, truth, resamples=99).p == 0.01


def test_the_bias_of_the_ece_falls_with_rows() -> None:
    proba = np.random.default_rng(0).dirichlet(np.ones(2), 4000)
    expected = [metrics.calibration_test(proba[:n], [0] * n, resamples=50).expected for n in (20, 200, 4000)]
    assert expected[0] > 2 * expected[1] > 4 * expected[2] > 0


@pytest.mark.parametrize(
    ("proba", "found"),
    [
        ([[2.0, -1.0]], "-1"),
        ([[3.0, 4.0]], "sum to 7"),
        ([[np.nan, 1.0]], "1 rows with NaN"),
        ([0.2, 0.8], "shape"),
        (np.zeros((0, 3)), "shape"),
        ([[1.0]], "shape"),
    ],
)
def test_what_is_not_a_probability_is_refused(proba: list[list[float]], found: str) -> None:
    with pytest.raises(ArgumentError, match=f"`proba`.*{found}"):
        metrics.evaluate(proba, [0])


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`bins`"):
        metrics.ece([[0.5, 0.5]], [0], bins=0)
    with pytest.raises(ArgumentError, match="`resamples`"):
        metrics.calibration_test([[0.5, 0.5]], [0], resamples=0)
