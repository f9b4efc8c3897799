from __future__ import annotations

import math

import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.decisions import Scale


def test_scores_are_multiplied_and_decisions_stay() -> None:
    logits = torch.randn(20, 4, dtype=torch.float64)
    assert torch.equal(Scale(3.0)(logits), logits * 3)
    assert torch.equal(Scale(3.0)(logits).argmax(1), logits.argmax(1))
    assert torch.equal(Scale(1.0)(logits), logits)


def test_half_precision_scores_come_back_in_float32() -> None:
    assert Scale(30.0)(torch.zeros(1, 2, dtype=torch.bfloat16)).dtype == torch.float32


def test_state_goes_round() -> None:
    other = Scale(1.0)
    other.load_state_dict(Scale(30.0).state_dict())
    assert torch.equal(other(torch.ones(1, 2)), torch.full((1, 2), 30.0))


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_a_factor_that_cannot_be_is_refused(factor: float) -> None:
    with pytest.raises(ArgumentError, match="`factor`"):
        Scale(factor)
