"""Linear layers, SiLU and dropout of several members against each member on its own."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from dropped import parts_of
from torch import Tensor

from steelyard.core import stacked_smooth
from steelyard.core.seeds import generator
from steelyard.core.stacked_dropout import Drops, factor, level
from steelyard.core.stacked_smooth import Given, smooth
from steelyard.nets.waves import plain_waves, source_of

SHAPES = [(3, 7, 5, 6, 4), (6, 300, 60, 128, 64)]
"""Members, rows and widths: below and above what the quick kernel is for; one group of dropout, and more than one."""


def numbers_of(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Inputs, and weights and biases of two layers and of a third one that ends the row."""
    members, rows, first, hidden, last = shape
    draws = generator(0, "smooth", *shape)
    shapes = [(members, rows, first), (members, hidden, first), (members, hidden), (members, last, hidden), (members, last)]
    shapes += [(members, 3, last), (members, 3)]
    return [(0.5 * torch.randn(size, generator=draws, dtype=dtype)).requires_grad_() for size in shapes]


def ours(inputs: Tensor, shares: tuple[float, float], *numbers: Tensor) -> Tensor:
    return smooth(Given(inputs), shares, numbers)


def masks_of(shares: tuple[float, ...], widths: list[int], rows: int, members: int) -> list[Tensor | None]:
    """What is kept of each layer, `[k, N, o]`; None where all is."""
    drops = Drops.draw(shares, widths, rows, members)
    drawn = [parts_of(drops, j) for j in range(members)]
    return [torch.stack([own[at] for own in drawn]) > level(share) if share else None for at, share in enumerate(shares)]


def plainly(inputs: Tensor, shares: tuple[float, float], *numbers: Tensor) -> Tensor:
    values, masks = inputs, masks_of(shares, [bias.shape[1] for bias in numbers[1:4:2]], inputs.shape[1], len(inputs))
    for at in range(len(numbers) // 2):
        values = torch.baddbmm(numbers[2 * at + 1].unsqueeze(1), values, numbers[2 * at].transpose(1, 2))
        if at < 2:
            values = F.silu(values)
            if masks[at] is not None:
                values = values * masks[at] * factor(shares[at])
    return values


def same_draws(call: Callable[..., Tensor], *given: Any) -> Tensor:
    torch.manual_seed(5)
    return call(*given)


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.4, 0.0), (0.3, 0.5)])
@pytest.mark.parametrize("across", [False, True])
def test_values_and_gradients_are_those_of_each_member(shape, shares, across, ended):
    inputs, *numbers = numbers_of(shape)[: 7 if ended else 5]
    if across:  # as columns leave their numbers: side by side in memory
        inputs = inputs.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    found, wanted = (same_draws(call, inputs, shares, *numbers) for call in (ours, plainly))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    weights = torch.randn_like(wanted)
    gradients = torch.autograd.grad((found * weights).sum(), [inputs, *numbers])
    for gradient, other in zip(gradients, torch.autograd.grad((wanted * weights).sum(), [inputs, *numbers]), strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("ended", [True, False])
def test_it_can_be_differentiated_again(ended):
    shape = (2, 3, 2, 3, 2)
    numbers = [value.detach().double().requires_grad_() for value in numbers_of(shape)[: 7 if ended else 5]]
    found, wanted = (
        torch.autograd.grad(
            torch.autograd.grad(same_draws(call, *numbers).square().sum(), numbers[1], create_graph=True)[0].square().sum(),
            numbers,
        )
        for call in (
            lambda inputs, *rest: ours(inputs, (0.5, 0.25), *rest),
            lambda inputs, *rest: plainly(inputs, (0.5, 0.25), *rest),
        )
    )
    for gradient, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-6)


def waves_and_numbers() -> tuple[list[Tensor], list[Tensor]]:
    """Two columns of members, and the layers behind them, in double precision."""
    draws = generator(0, "smooth-waves")
    shapes = [(5, 2), (3, 2, 4), (3, 2, 4), (3, 2, 4, 2), (3, 2, 2)]
    columns = [torch.randn(shape, generator=draws, dtype=torch.float64).requires_grad_() for shape in shapes]
    return columns, numbers_of((3, 5, 6, 7, 4), torch.float64)[1:]


def test_columns_that_make_waves_are_part_of_the_row():
    columns, numbers = waves_and_numbers()
    every = [*columns, *numbers]

    def fused(*every: Tensor) -> Tensor:
        source = source_of(*every[:5])
        assert source is not None
        return smooth(source, (0.0, 0.0), every[5:])

    def plain(*every: Tensor) -> Tensor:
        return plainly(plain_waves(*every[:5]), (0.0, 0.0), *every[5:])

    torch.testing.assert_close(fused(*every), plain(*every))
    for gradient, other in zip(*(torch.autograd.grad(of(*every).sin().sum(), every) for of in (fused, plain)), strict=True):
        torch.testing.assert_close(gradient, other)
    second = [
        torch.autograd.grad(torch.autograd.grad(of(*every).sin().sum(), columns[1], create_graph=True)[0].square().sum(), every)
        for of in (fused, plain)
    ]
    for gradient, other in zip(*second, strict=True):
        torch.testing.assert_close(gradient, other)


def test_a_second_way_back_leaves_the_gradients_of_the_first_alone():
    columns, numbers = waves_and_numbers()
    source = source_of(*columns)
    assert source is not None
    found, every = smooth(source, (0.3, 0.0), numbers), [*columns, *numbers]
    first = torch.autograd.grad(found.sum(), every, retain_graph=True)
    held = [gradient.clone() for gradient in first]
    second = torch.autograd.grad(3 * found.sum(), every)
    for one, own, other in zip(first, held, second, strict=True):
        assert torch.equal(one, own)
        torch.testing.assert_close(other, 3 * own)


@pytest.mark.parametrize("trained", [1, 3, 5, 6])
def test_only_what_is_asked_for_has_a_gradient(trained):
    inputs, *numbers = (value.detach() for value in numbers_of(SHAPES[0]))
    numbers[trained - 1].requires_grad_()
    (found,) = torch.autograd.grad(same_draws(ours, inputs, (0.4, 0.2), *numbers).sin().sum(), numbers[trained - 1])
    (wanted,) = torch.autograd.grad(same_draws(plainly, inputs, (0.4, 0.2), *numbers).sin().sum(), numbers[trained - 1])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_without_gradients_the_values_are_the_same_and_nothing_is_kept(monkeypatch):
    inputs, *numbers = numbers_of(SHAPES[1])
    kept: list[int] = []
    run = stacked_smooth._forward

    def counted(*given: Any) -> Any:
        found = run(*given)
        kept.extend(len(own) for own in found)
        return found

    monkeypatch.setattr(stacked_smooth, "_forward", counted)
    found = same_draws(ours, inputs, (0.4, 0.2), *numbers)
    assert min(kept) > 0
    kept.clear()
    with torch.no_grad():
        assert torch.equal(same_draws(ours, inputs, (0.4, 0.2), *numbers), found)
    assert max(kept) == 0


def test_what_columns_kept_is_let_go_on_the_way_back():
    columns, numbers = waves_and_numbers()
    source = source_of(*columns)
    assert source is not None
    basis = weakref.ref(source._basis)
    found = smooth(source, (0.0, 0.0), numbers)
    assert basis() is not None
    found.sum().backward()
    assert basis() is None
