from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.lookahead import look_ahead, slope_of_last_step

Make = Callable[[Any], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "dampening": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.01),
}


def warmed(make: Make, steps: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    optimizer = make(model.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(4, 3).double()).pow(2).sum().backward()
        optimizer.step()
    return model, optimizer


def really_stepped(model: nn.Module, optimizer: torch.optim.Optimizer, gradients: dict[str, Tensor]) -> nn.Module:
    model, optimizer = copy.deepcopy((model, optimizer))
    for name, value in model.named_parameters():
        value.grad = gradients[name].clone()
    optimizer.step()
    return model


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_it_is_the_step_that_the_optimiser_makes(name: str, steps: int) -> None:
    model, optimizer = warmed(OPTIMIZERS[name], steps)
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    params = dict(model.named_parameters())
    gradients = {key: torch.randn_like(value) for key, value in params.items()}
    ahead = look_ahead(optimizer, params, gradients)
    real = really_stepped(model, optimizer, gradients)
    for key, value in real.named_parameters():
        torch.testing.assert_close(ahead.params[key], value.detach(), rtol=1e-10, atol=1e-12)
    assert str(before) == str((model.state_dict(), optimizer.state_dict()))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_its_slope_is_that_of_the_step(name: str, steps: int) -> None:
    model, optimizer = warmed(OPTIMIZERS[name], steps)
    params = dict(model.named_parameters())
    gradients = {key: torch.randn_like(value) for key, value in params.items()}
    slope = look_ahead(optimizer, params, gradients).slope

    def at(shift: float) -> dict[str, Tensor]:
        moved = really_stepped(model, optimizer, {key: g + shift for key, g in gradients.items()})
        return {key: value.detach() for key, value in moved.named_parameters()}

    up, down = at(1e-6), at(-1e-6)
    for key, value in params.items():
        numeric = (up[key] - down[key]) / 2e-6
        expected = torch.as_tensor(slope[key]).expand_as(value).to(value.dtype)
        torch.testing.assert_close(numeric, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_slope_of_a_step_that_was_made(name: str) -> None:
    model, optimizer = warmed(OPTIMIZERS[name], 3)
    params = dict(model.named_parameters())
    gradients = {key: torch.randn_like(value) for key, value in params.items()}
    ahead = look_ahead(optimizer, params, gradients)
    for key, value in params.items():
        value.grad = gradients[key].clone()
    optimizer.step()
    after = slope_of_last_step(optimizer, params)
    for key, value in params.items():
        one, other = (torch.as_tensor(found[key]).double().expand_as(value) for found in (ahead.slope, after))
        if name == "adam":  # its decay is added to the gradient inside the step, so the gradient at hand is not the one used
            torch.testing.assert_close(one, other, rtol=0.2, atol=1e-2)
        else:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_what_cannot_be_looked_ahead_of_is_refused() -> None:
    model = nn.Linear(2, 2)
    params = dict(model.named_parameters())
    for optimizer in (torch.optim.RMSprop(model.parameters()), torch.optim.Adam(model.parameters(), amsgrad=True)):
        with pytest.raises(ArgumentError, match="SGD, Adam or AdamW"):
            look_ahead(optimizer, params, params)
    with pytest.raises(ArgumentError, match="learning rate"):
        look_ahead(None, params, params)
