"""What the metrics take and what they refuse, in words that name the argument."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard import metrics
from steelyard.core.errors import ArgumentError
from steelyard.metrics.arrays import as_array, as_classes, as_decisions, as_proba

GOOD = [[0.75, 0.25], [0.5, 0.5], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("proba", "words"),
    [
        ([[0.5, np.nan], [0.5, 0.5]], "1 rows with NaN or infinity"),
        ([[np.inf, 0.0]], "NaN or infinity"),
        ([[2.0, -1.0]], "apply softmax to logits first"),
        ([[3.0, 4.0]], "rows that sum to 7 to 7"),
        ([[0.5, 0.4]], "rows that sum to 0.9"),
        ([0.5, 0.5], r"shape \(2,\)"),
        ([[1.0], [1.0]], r"shape \(2, 1\)"),
        (np.zeros((0, 3)), r"shape \(0, 3\)"),
    ],
)
@pytest.mark.parametrize("function", [metrics.evaluate, metrics.intervals, metrics.auroc, metrics.ece, metrics.log_loss])
def test_what_is_not_a_probability_is_refused_by_every_metric_of_scores(function, proba, words):
    with pytest.raises(ArgumentError, match=f"`proba`.*{words}"):
        function(proba, [0] * len(proba))


def test_rows_that_sum_to_one_but_for_rounding_are_rescaled():
    rough = torch.softmax(torch.randn(50, 7, generator=torch.Generator().manual_seed(0)), 1).to(torch.bfloat16)
    kept = as_proba(rough)
    assert kept.dtype == np.float64
    assert kept.sum(1) == pytest.approx(np.ones(50), abs=1e-12)
    assert kept == pytest.approx(rough.double().numpy(), rel=0.01)


def test_checking_twice_changes_nothing():
    once = as_proba(np.random.default_rng(0).dirichlet(np.ones(5), 40))
    assert np.array_equal(as_proba(once), once)


@pytest.mark.parametrize(
    "target", [[0, 1, 1], np.array([0, 1, 1], dtype=np.uint8), torch.tensor([0.0, 1.0, 1.0]), [False, True, True]]
)
def test_classes_of_every_whole_type_are_taken(target):
    found = as_classes(target, 2)
    assert found.dtype == np.int64
    assert found.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ([0, 1, 2], "class indices from 0 to 1"),
        ([-1, 0, 1], "class indices from 0 to 1"),
        ([0.5, 0, 1], "whole numbers"),
        ([0.0, np.nan, 1.0], "whole numbers"),
        (["a", "b", "c"], "whole numbers"),
        ([0, 1], "one row for each of the 2 rows"),
        ([[0, 1, 1]], r"shape \(1, 3\)"),
        ([], r"shape \(0,\)"),
    ],
)
def test_what_is_not_a_class_is_refused(target, words):
    with pytest.raises(ArgumentError, match=words):
        metrics.evaluate(GOOD, target)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_decisions_and_their_one_hot_scores_are_the_same(decided):
    truth = decided[::-1]
    one = as_decisions(decided, truth, 5)
    other = as_decisions(np.eye(5)[decided], truth)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_tensor_with_a_gradient_on_any_dtype_becomes_an_array():
    found = as_array(torch.ones(2, dtype=torch.bfloat16, requires_grad=True))
    assert found.tolist() == [1.0, 1.0]
