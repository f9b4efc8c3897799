"""Operators that are differentiated twice: against torch's own formulas, on random cases."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from steelyard.core.seeds import generator
from steelyard.numeric.twice import twice_differentiable


def derivatives(function: Callable[..., Tensor], values: list[Tensor], ours: bool) -> list[Tensor]:
    """Value, gradient, and the gradient of a random product of the gradient."""
    leaves = [value.clone().requires_grad_() for value in values]
    if ours:
        with twice_differentiable():
            out = function(*leaves)
    else:
        out = function(*leaves)
    weights = torch.randn(out.shape, generator=generator(0, "out"), dtype=out.dtype)
    first = torch.autograd.grad((out.sin() * weights).sum(), leaves, create_graph=True)
    along = [torch.randn(g.shape, generator=generator(1, "along", k), dtype=g.dtype) for k, g in enumerate(first)]
    second = torch.autograd.grad(first, leaves, grad_outputs=along)
    return [out.detach(), *(g.detach() for g in first), *second]


def agree(function: Callable[..., Tensor], values: list[Tensor]) -> None:
    for one, other in zip(derivatives(function, values, True), derivatives(function, values, False), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator(seed, "values"), dtype=torch.float64)


@settings(max_examples=20)
@given(
    sides=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_convolutions(sides, stride, padding, dilation, groups, bias, seed):
    function = (F.conv1d, F.conv2d, F.conv3d)[sides - 1]
    values = [drawn(seed, 2, 4, *[5] * sides), drawn(seed + 1, 6, 4 // groups, *[2] * sides)]
    values += [drawn(seed + 2, 6)] if bias else []

    def convolved(x: Tensor, weight: Tensor, *rest: Tensor) -> Tensor:
        return function(x, weight, *(rest or (None,)), stride, padding, dilation, groups)

    agree(convolved, values)


@settings(max_examples=20)
@given(rows=st.integers(2, 6), sides=st.integers(0, 3), seed=st.integers(0, 99), eps=st.sampled_from([1e-5, 0.3]))
def test_batch_normalisation(rows, sides, seed, eps):
    values = [drawn(seed, rows, 3, *[2] * sides), drawn(seed + 1, 3), drawn(seed + 2, 3)]
    agree(lambda x, w, b: F.batch_norm(x, None, None, w, b, True, 0.1, eps), values)


def test_relu_in_place_and_not():
    agree(F.relu, [drawn(0, 4, 5)])
    agree(lambda x: F.relu(x * 2, inplace=True), [drawn(1, 4, 5)])
    agree(lambda x: torch.relu(x) * x, [drawn(2, 4, 5)])


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_part_without_gradient(frozen):
    values = [drawn(0, 2, 3, 4, 4), drawn(1, 2, 3, 3, 3)]
    held = values.pop(frozen)

    def convolved(other: Tensor) -> Tensor:
        return F.conv2d(*((held, other) if frozen == 0 else (other, held)))

    agree(convolved, values)


def test_running_statistics_are_counted_as_usual():
    inputs = drawn(0, 6, 3, 2, 2)
    layers = [nn.BatchNorm2d(3).double() for _ in range(2)]
    with twice_differentiable():
        layers[0](inputs)
    layers[1](inputs)
    for one, other in zip(layers[0].buffers(), layers[1].buffers(), strict=True):
        assert torch.equal(one, other)


def test_what_is_not_ours_is_torchs():
    layer = nn.BatchNorm2d(3).double().eval()
    agree(layer, [drawn(0, 4, 3, 2, 2)])
    agree(lambda x: F.batch_norm(x, None, None, training=True), [drawn(1, 4, 3, 2)])
    agree(lambda x, w: F.conv2d(x, w, padding="same"), [drawn(2, 2, 3, 4, 4), drawn(3, 2, 3, 3, 3)])
    agree(lambda x, w: F.conv2d(x, w), [drawn(4, 3, 4, 4), drawn(5, 2, 3, 3, 3)])
    with twice_differentiable(), pytest.raises(ValueError, match="more than 1 value per channel"):
        F.batch_norm(torch.ones(1, 3), None, None, torch.ones(3), torch.ones(3), True)


def test_autocast_reaches_the_convolutions():
    layer = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    inputs = drawn(0, 2, 3, 5, 5).float()
    with torch.autocast("cpu", torch.bfloat16):
        with twice_differentiable():
            ours = layer(inputs)
        theirs = layer(inputs)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    torch.testing.assert_close(ours, theirs)
    first = torch.autograd.grad(ours.float().pow(2).sum(), list(layer.parameters()), create_graph=True)
    second = torch.autograd.grad(sum(g.pow(2).sum() for g in first), list(layer.parameters()))
    assert all(g.dtype == torch.float32 and bool(g.isfinite().all()) for g in second)
