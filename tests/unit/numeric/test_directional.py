from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from steelyard.numeric.directional import (
    difference_slopes,
    forward_slopes,
    plain_attention,
    reverse_slopes,
    slopes_of,
    weighted_gradients,
)


def problem(seed: int, rows: int):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    inputs, target = torch.randn(rows, 3).double(), torch.randint(0, 2, (rows,))
    at = {name: value.detach() for name, value in model.named_parameters()}

    def losses(params) -> Tensor:
        return nn.functional.cross_entropy(functional_call(model, dict(params), (inputs,)), target, reduction="none")

    return losses, at, {name: torch.randn_like(value) for name, value in at.items()}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 8))
def test_all_ways_agree_with_a_loop_over_rows(seed: int, rows: int) -> None:
    losses, at, direction = problem(seed, rows)
    leaves = {name: value.clone().requires_grad_() for name, value in at.items()}
    values = losses(leaves)
    expected = []
    for i in range(rows):
        gradients = torch.autograd.grad(values[i], list(leaves.values()), retain_graph=True)
        expected.append(sum((g * direction[name]).sum() for name, g in zip(leaves, gradients, strict=True)))
    expected = torch.stack(expected)
    torch.testing.assert_close(forward_slopes(losses, at, direction), expected)
    torch.testing.assert_close(reverse_slopes(losses, at, direction), expected)
    torch.testing.assert_close(difference_slopes(losses, at, direction), expected, rtol=1e-5, atol=1e-7)


def test_gradients_keep_the_graph_to_the_weights_and_unused_parameters_count_as_zero() -> None:
    losses, at, direction = problem(0, 5)
    at["idle"], direction["idle"] = torch.zeros(3).double(), torch.ones(3).double()
    leaves = {name: value.clone().requires_grad_() for name, value in at.items()}
    weights = torch.rand(5).double().requires_grad_()

    def used(params) -> Tensor:
        return losses({name: value for name, value in params.items() if name != "idle"})

    gradients = weighted_gradients(used(leaves), weights, leaves)
    assert gradients["idle"].abs().max() == 0
    torch.testing.assert_close(slopes_of(gradients, weights, direction), forward_slopes(used, at, direction))


def test_what_depends_on_no_parameter_has_slope_zero() -> None:
    _, at, direction = problem(0, 5)
    assert forward_slopes(lambda _: torch.ones(4), at, direction).tolist() == [0.0] * 4


def test_a_function_without_a_forward_rule_is_said_and_other_errors_pass() -> None:
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad

    at = {"x": torch.ones(3)}
    with pytest.raises(NotImplementedError):
        forward_slopes(lambda p: Once.apply(p["x"]), at, at)
    torch.testing.assert_close(reverse_slopes(lambda p: Once.apply(p["x"]), at, at), torch.ones(3))
    with pytest.raises(RuntimeError, match="must match") as raised:
        forward_slopes(lambda p: p["x"] + torch.ones(2), at, at)
    assert not isinstance(raised.value, NotImplementedError)


def test_attention_is_put_back() -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(KeyError), plain_attention():
        assert not torch.backends.mha.get_fastpath_enabled()
        raise KeyError
    assert torch.backends.mha.get_fastpath_enabled() == before
