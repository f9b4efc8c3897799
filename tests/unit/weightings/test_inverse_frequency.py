"""Inverse frequency."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Evidence
from steelyard.weightings import InverseFrequency


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=12).filter(any), st.floats(0, 2))
def test_ratios_are_those_of_the_power_and_the_mean_is_one(counts, power):
    weights = InverseFrequency(counts, power).class_weights.double()
    n = torch.tensor(counts, dtype=torch.float64).clamp_min(1)
    torch.testing.assert_close(weights.mean().item(), 1.0, rtol=1e-5, atol=0)
    torch.testing.assert_close(weights / weights.max(), (n / n.min()) ** -power, rtol=1e-5, atol=1e-12)


def test_a_huge_power_leaves_the_rarest_class():
    assert InverseFrequency([1000, 100, 10], power=1000.0).class_weights.tolist() == [0, 0, 3]


def test_rows_get_the_weight_of_their_class():
    weighting = InverseFrequency([30, 10])
    assert weighting(Evidence(torch.tensor([1, 0]))).tolist() == [1.5, 0.5]


def test_weights_survive_saving():
    weighting = InverseFrequency([30, 10])
    other = InverseFrequency([1, 1])
    other.load_state_dict(weighting.state_dict())
    assert torch.equal(other.class_weights, weighting.class_weights)


@pytest.mark.parametrize("power", [-1, float("inf"), float("nan")])
def test_wrong_power_is_named(power):
    with pytest.raises(ArgumentError, match="`power`"):
        InverseFrequency([2, 1], power=power)


@pytest.mark.parametrize("classes", [2, 4])
def test_class_sizes_are_of_the_classes_that_there_are_logits_of(classes):
    evidence = Evidence(target=torch.tensor([0, 1]), logits=torch.zeros(2, classes))
    with pytest.raises(
        ArgumentError, match=f"`class_counts` should be a size for each of the {classes} classes.*3 class sizes"
    ):
        InverseFrequency([5, 3, 1])(evidence)
