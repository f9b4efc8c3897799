from __future__ import annotations

import numpy as np
import pytest
import torch

from steelyard.core.errors import ArgumentError, DataError
from steelyard.decisions import (
    ClassConformal,
    LabelThresholds,
    LogitShift,
    PriorShift,
    Scale,
    TauNormalize,
    Temperature,
    Thresholds,
)
from steelyard.decisions._arrays import as_class, as_proba, as_target, finite_logs, like, log_proba_of, need_all, reaches


def test_rows_that_sum_to_one_within_rounding_are_left_exactly_as_they_are() -> None:
    proba = torch.softmax(torch.randn(50, 7), 1)
    np.testing.assert_array_equal(as_proba(proba), proba.double().numpy())
    np.testing.assert_allclose(as_proba([[0.3, 0.703]]), [[0.3 / 1.003, 0.703 / 1.003]])


def test_what_is_given_is_not_changed() -> None:
    given = np.array([[0.3, 0.703]])
    as_proba(given)
    np.testing.assert_array_equal(given, [[0.3, 0.703]])


def test_classes_are_whole_numbers_of_a_column() -> None:
    assert as_target(torch.tensor([1.0, 0.0]), 2, 2).dtype == np.int64
    for wrong in ([0, 1, 1], [-1, 0], ["a", "b"], [0.0, np.nan]):
        with pytest.raises(ArgumentError, match="`target`"):
            as_target(wrong, 2, 2)
    for positive in (True, 1.0, 2, -1):
        with pytest.raises(ArgumentError, match="`positive`"):
            as_class(positive, 2)


def test_missing_classes_are_named() -> None:
    with pytest.raises(DataError, match=r"`target` has no rows .* of class 0, 2: because"):
        need_all(np.array([0.0, 1.0, 0.0]), "target", "because")


def test_results_come_back_as_they_were_given() -> None:
    assert like(np.ones(2), torch.ones(1, dtype=torch.float16)).dtype == torch.float32
    assert like(np.ones(2, dtype=np.int64), torch.ones(1)).dtype == torch.int64
    assert isinstance(like(np.ones(2), [1.0]), np.ndarray)


def test_minus_infinity_becomes_finite_and_far_below() -> None:
    found = finite_logs(torch.tensor([[0.0, -torch.inf], [-5.0, -3.0]], dtype=torch.float64))
    assert found.isfinite().all()
    assert float(found[0, 1]) < -700
    assert torch.equal(found[1], torch.tensor([-5.0, -3.0], dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_probability_is_still_itself_after_its_logarithm(dtype: torch.dtype) -> None:
    p = torch.arange(301, dtype=torch.float64) / 300
    rows = torch.stack([1 - p, p], 1).to(dtype)
    p = rows[:, 1].double()
    found = reaches(log_proba_of(rows.log())[:, 1:], p[None], dtype)
    assert torch.equal(found, p[:, None] >= p)
    assert not reaches(torch.zeros(1).double(), torch.tensor([np.nextafter(1.0, 2.0)]), dtype).any()


def test_scores_become_log_probabilities_and_those_are_left_as_they_are() -> None:
    scores = torch.randn(20, 4, dtype=torch.float64)
    logs = torch.log_softmax(scores, 1)
    assert torch.allclose(log_proba_of(scores + 3), logs)
    assert torch.equal(log_proba_of(logs), logs)


PROBA, TARGET = np.array([[0.9, 0.1], [0.4, 0.6]]), [0, 1]


@pytest.mark.parametrize("wrong", ["x", "0.5", float("nan"), [0.5, 0.5], object()])
@pytest.mark.parametrize(
    ("argument", "make"),
    [
        ("recall", lambda value: Thresholds.for_recall(PROBA, TARGET, recall=value)),
        ("share", lambda value: Thresholds.for_alerts(PROBA, share=value)),
        ("alerts", lambda value: Thresholds.for_alerts(PROBA, value, 10)),
        ("rows_per_day", lambda value: Thresholds.for_alerts(PROBA, 1, value)),
        ("iterations", lambda value: PriorShift.em(PROBA, [0.5, 0.5], iterations=value)),
        ("tolerance", lambda value: PriorShift.em(PROBA, [0.5, 0.5], tolerance=value)),
        ("temperature", Temperature),
        ("zero", lambda value: Temperature(zero=value)),
        ("tau", lambda value: LogitShift([1, 2], value)),
        ("tau", TauNormalize),
        ("factor", Scale),
    ],
)
def test_what_is_no_number_is_refused_by_the_argument_s_name(argument, make, wrong):
    with pytest.raises(ArgumentError, match=f"argument `{argument}` should be"):
        make(wrong)


@pytest.mark.parametrize("wrong", ["x", ["a", "b"], [object(), 1], [[1], [1, 2]]])
@pytest.mark.parametrize(
    ("argument", "make"),
    [
        ("sample_weight", lambda value: Thresholds.for_alerts(PROBA, share=0.5, sample_weight=value)),
        ("alpha", ClassConformal),
        ("bias", lambda value: Temperature(bias=value)),
        ("thresholds", Thresholds),
        ("cost", Thresholds.for_costs),
        ("source_prior", lambda value: PriorShift(value, [0.5, 0.5])),
        ("thresholds", LabelThresholds),
    ],
)
def test_what_are_no_numbers_is_refused_by_the_argument_s_name(argument, make, wrong):
    with pytest.raises(ArgumentError, match=f"argument `{argument}` should be"):
        make(wrong)
