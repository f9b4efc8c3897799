from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.decisions import LogitShift

COUNTS = st.lists(st.integers(0, 10_000), min_size=2, max_size=6).filter(lambda counts: sum(counts) > 0)


@given(COUNTS, st.floats(0, 3))
def test_the_shift_is_minus_tau_times_the_log_prior(counts: list[int], tau: float) -> None:
    logits = torch.randn(5, len(counts), dtype=torch.float64)
    seen = [max(n, 1) for n in counts]
    expected = logits - torch.tensor([tau * math.log(n / sum(seen)) for n in seen], dtype=torch.float64)
    assert torch.allclose(LogitShift(counts, tau)(logits), expected, atol=1e-5)


@given(COUNTS)
def test_without_strength_nothing_changes(counts: list[int]) -> None:
    logits = torch.randn(5, len(counts))
    assert torch.equal(LogitShift(counts, 0.0)(logits), logits)


def test_equal_counts_change_no_decision_and_no_probability() -> None:
    logits = torch.randn(20, 4)
    assert torch.allclose(LogitShift([7] * 4)(logits).softmax(1), logits.softmax(1), atol=1e-6)


def test_it_decides_by_posterior_over_prior() -> None:
    posterior = torch.tensor([[0.85, 0.15], [0.95, 0.05]])
    prior = torch.tensor([0.9, 0.1])
    assert torch.equal(LogitShift([90, 10])(posterior.log()).argmax(1), (posterior / prior).argmax(1))


def test_classes_are_permuted_together() -> None:
    counts, logits, order = torch.tensor([50, 5, 0]), torch.randn(4, 3), torch.tensor([2, 0, 1])
    assert torch.equal(LogitShift(counts)(logits)[:, order], LogitShift(counts[order])(logits[:, order]))


def test_half_precision_scores_come_back_in_float32() -> None:
    assert LogitShift([9, 1])(torch.zeros(1, 2, dtype=torch.bfloat16)).dtype == torch.float32


def test_state_goes_round() -> None:
    one, other = LogitShift([9, 1], 2.0), LogitShift([1, 1])
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.shift, other.shift)


@pytest.mark.parametrize("tau", [-1.0, math.nan, math.inf])
def test_a_strength_that_cannot_be_is_refused(tau: float) -> None:
    with pytest.raises(ArgumentError, match="`tau`"):
        LogitShift([9, 1], tau)


def test_scores_of_other_classes_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`logits`"):
        LogitShift([9, 1])(torch.zeros(1, 3))
