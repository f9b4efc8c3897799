"""What the sharpness-aware descents share."""

import pytest
import torch
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.descents._ascent import add_gradients, check_radius, gradients_of, moved, settle


@pytest.mark.parametrize("rho", [-0.1, float("nan"), float("inf"), "0.1", None, True])
def test_a_radius_is_a_finite_number_not_below_zero(rho):
    with pytest.raises(ArgumentError, match="`rho` should be a finite number, 0 or more"):
        check_radius(rho)
    assert check_radius(2) == 2.0


def test_gradients_of_what_a_loss_does_not_depend_on_are_zeros():
    used, idle = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    found = gradients_of((used * 3).sum(), [used, idle])
    assert [value.tolist() for value in found] == [[3, 3], [0, 0, 0]]
    assert used.grad is idle.grad is None


def test_gradients_beside_the_parameters_come_back_to_them():
    params = {"a": nn.Parameter(torch.ones(2)), "b": nn.Parameter(torch.ones(1))}
    params["b"].grad = torch.tensor([5.0])
    there = moved(params, [torch.full((2,), 1.0), torch.full((1,), 2.0)])
    assert there["a"].tolist() == [2, 2]
    (there["a"].square().sum() + 2 * there["b"].sum()).backward()
    settle(params, there)
    assert params["a"].grad.tolist() == [4, 4]
    assert params["b"].grad.tolist() == [7]
    assert params["a"].tolist() == [1, 1]


def test_none_adds_nothing():
    value = nn.Parameter(torch.ones(1))
    add_gradients([value], [None])
    assert value.grad is None
