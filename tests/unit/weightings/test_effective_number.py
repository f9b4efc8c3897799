"""Class-balanced weights."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Evidence
from steelyard.weightings import EffectiveNumber


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=12).filter(any), st.floats(0, 1))
def test_weights_are_positive_with_mean_one_and_fall_with_size(counts, beta):
    weights = EffectiveNumber(counts, beta=beta).class_weights
    assert bool(torch.isfinite(weights).all())
    assert float(weights.min()) >= 0
    torch.testing.assert_close(weights.mean().item(), 1.0, rtol=1e-5, atol=0)
    by_size = weights[torch.tensor(counts).argsort(descending=True, stable=True)]
    assert bool((by_size.diff() >= -1e-6).all())


def test_a_class_never_seen_weighs_as_one_of_one_row():
    weights = EffectiveNumber([1000, 1, 0], beta=0.999).class_weights
    assert weights[1] == weights[2]


def test_rows_get_the_weight_of_their_class():
    weighting = EffectiveNumber([100, 10], beta=0.99)
    assert weighting(Evidence(torch.tensor([1, 0, 1]))).tolist() == weighting.class_weights[[1, 0, 1]].tolist()
    assert weighting(Evidence(torch.zeros(0, dtype=torch.int64))).shape == (0,)


@pytest.mark.parametrize("beta", [-0.1, 1.1, float("nan")])
def test_wrong_beta_is_named(beta):
    with pytest.raises(ArgumentError, match="`beta`"):
        EffectiveNumber([2, 1], beta=beta)
