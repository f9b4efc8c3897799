"""Linear layers, SiLU and dropout of several members against each member on its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.seeds import generator
from steelyard.core.stacked_dropout import drawn, factor, level, new_seeds
from steelyard.core.stacked_smooth import Smooth

SHAPES = [(3, 7, 5, 6, 4), (2, 300, 60, 128, 64)]
"""Members, rows and widths: below and above what the quick kernel is for."""


def numbers_of(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    members, rows, first, hidden, last = shape
    draws = generator(0, "smooth", *shape)
    shapes = [(members, rows, first), (members, hidden, first), (members, hidden), (members, last, hidden), (members, last)]
    return [(0.5 * torch.randn(size, generator=draws, dtype=dtype)).requires_grad_() for size in shapes]


def plainly(inputs: Tensor, shares: tuple[float, float], *numbers: Tensor) -> Tensor:
    shapes, values = [torch.Size([inputs.shape[1], bias.shape[1]]) for bias in numbers[1::2]], inputs
    masks = [drawn(seed, shapes, shares) for seed in new_seeds(len(inputs))]
    for at, share in enumerate(shares):
        values = F.silu(torch.baddbmm(numbers[2 * at + 1].unsqueeze(1), values, numbers[2 * at].transpose(1, 2)))
        if share:
            values = values * torch.stack([own[at] > level(share) for own in masks]) * factor(share)
    return values


def same_draws(call: Callable[..., Tensor], *given: Any) -> Tensor:
    torch.manual_seed(5)
    return call(*given)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.4, 0.0), (0.3, 0.5)])
@pytest.mark.parametrize("across", [False, True])
def test_values_and_gradients_are_those_of_each_member(shape, shares, across):
    inputs, *numbers = numbers_of(shape)
    if across:  # as columns leave their numbers: side by side in memory
        inputs = inputs.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    found, wanted = (same_draws(call, inputs, shares, *numbers) for call in (Smooth.apply, plainly))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    weights = torch.randn_like(wanted)
    gradients = torch.autograd.grad((found * weights).sum(), [inputs, *numbers])
    for gradient, other in zip(gradients, torch.autograd.grad((wanted * weights).sum(), [inputs, *numbers]), strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-3)


def test_it_can_be_differentiated_again():
    shape = (2, 3, 2, 3, 2)
    numbers = [value.detach().double().requires_grad_() for value in numbers_of(shape)]
    found, wanted = (
        torch.autograd.grad(
            torch.autograd.grad(same_draws(call, *numbers).square().sum(), numbers[1], create_graph=True)[0].square().sum(),
            numbers,
        )
        for call in (
            lambda inputs, *rest: Smooth.apply(inputs, (0.5, 0.25), *rest),
            lambda inputs, *rest: plainly(inputs, (0.5, 0.25), *rest),
        )
    )
    for gradient, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-6)


def test_data_without_a_gradient_get_none():
    inputs, *numbers = numbers_of(SHAPES[0])
    found = Smooth.apply(inputs.detach(), (0.0, 0.0), *numbers)
    found.sum().backward()
    assert all(value.grad is not None for value in numbers) and inputs.grad is None
