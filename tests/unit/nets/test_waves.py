"""Waves of columns: the quick way against the plain one, and every kind of differentiation."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from steelyard.core.seeds import generator
from steelyard.nets import waves as module
from steelyard.nets.waves import plain_waves, waves
from steelyard.numeric.directional import forward_slopes, reverse_slopes


def given_numbers(members: int | None, columns: int = 3, count: int = 4, out: int = 2, rows: int = 9) -> list[Tensor]:
    draws = generator(0, "waves", members or 0, columns, count, out, rows)
    first = () if members is None else (members,)
    shapes = [(rows, columns)]
    shapes += [(*first, columns, count), (*first, columns, count), (*first, columns, count, out), (*first, columns, out)]
    return [torch.randn(shape, generator=draws, dtype=torch.float64).requires_grad_() for shape in shapes]


@settings(deadline=None, max_examples=12)
@given(
    members=st.sampled_from([None, 1, 3]),
    columns=st.integers(1, 4),
    count=st.integers(1, 5),
    out=st.integers(1, 3),
    rows=st.integers(1, 7),
)
def test_the_quick_way_and_its_gradients_are_those_of_the_plain_one(members, columns, count, out, rows):
    numbers = given_numbers(members, columns, count, out, rows)
    found, wanted = waves(*numbers), plain_waves(*numbers)
    assert found.grad_fn is not None and "Waves" in str(found.grad_fn) + str(found.grad_fn.next_functions)
    torch.testing.assert_close(found, wanted)
    weights = torch.randn_like(wanted)
    gradients = torch.autograd.grad((found * weights).sum(), numbers)
    for gradient, other in zip(gradients, torch.autograd.grad((wanted * weights).sum(), numbers), strict=True):
        torch.testing.assert_close(gradient, other)


@pytest.mark.parametrize("most", [1, 2 * 3 * 4 * 9, 10**9])
def test_members_have_the_same_numbers_however_many_are_made_at_once(most, monkeypatch):
    numbers = given_numbers(5)
    wanted = plain_waves(*numbers)
    weights = torch.randn_like(wanted)
    others = torch.autograd.grad((wanted * weights).sum(), numbers)
    made = []
    real = module._ranges
    monkeypatch.setattr(module, "AT_ONCE", most)
    monkeypatch.setattr(module, "_ranges", lambda *asked: (made.append(own) or own for own in real(*asked)))
    found = waves(*numbers)
    torch.testing.assert_close(found, wanted)
    for gradient, other in zip(torch.autograd.grad((found * weights).sum(), numbers), others, strict=True):
        torch.testing.assert_close(gradient, other)
    with torch.no_grad():
        torch.testing.assert_close(waves(*numbers), wanted)
    assert len(made) == 3 * {1: 5, 2 * 3 * 4 * 9: 3, 10**9: 1}[most]


@pytest.mark.parametrize("members", [None, 2])
def test_no_rows_are_no_waves(members):
    numbers = given_numbers(members, rows=0)
    found = waves(*numbers)
    assert torch.equal(found, plain_waves(*numbers))
    assert all(not gradient.any() for gradient in torch.autograd.grad(found.sum(), numbers))


@pytest.mark.parametrize("members", [None, 2])
def test_gradients_of_every_order_agree_with_finite_differences(members):
    numbers = given_numbers(members, columns=2, count=2, out=1, rows=2)
    assert torch.autograd.gradcheck(waves, numbers)
    assert torch.autograd.gradgradcheck(waves, numbers)


def test_only_what_is_asked_for_has_a_gradient():
    numbers = given_numbers(None)
    for at, value in enumerate(numbers):
        value.requires_grad_(at == 3)
    (found,) = torch.autograd.grad(waves(*numbers).square().sum(), [numbers[3]], create_graph=True)
    (wanted,) = torch.autograd.grad(plain_waves(*numbers).square().sum(), [numbers[3]])
    torch.testing.assert_close(found, wanted)


def test_forward_mode_and_maps_take_the_plain_way():
    x, *numbers = given_numbers(None)
    names = ("frequency", "phase", "weight", "bias")
    at, along = (dict(zip(names, values, strict=True)) for values in (numbers, [torch.randn_like(value) for value in numbers]))
    slopes = [of(lambda p: waves(x.detach(), **p).square().sum(1), at, along) for of in (forward_slopes, reverse_slopes)]
    torch.testing.assert_close(slopes[0], slopes[1])
    ends = [waves(x, *[at[n].detach() + sign * 1e-6 * along[n] for n in names]).square().sum(1) for sign in (1, -1)]
    torch.testing.assert_close(slopes[0], (ends[0] - ends[1]).detach() / 2e-6, rtol=1e-4, atol=1e-4)
    stacked = [torch.stack([value, value + 1]).detach() for value in numbers]
    mapped = torch.vmap(lambda *values: waves(x.detach(), *values))(*stacked)
    torch.testing.assert_close(mapped, waves(x.detach(), *stacked))
    each = torch.vmap(torch.func.grad(lambda row: waves(row[None], *numbers).sum()))(x.detach())
    torch.testing.assert_close(each, torch.autograd.grad(waves(x, *numbers).sum(), x)[0])


@pytest.mark.parametrize("threads", [0, 99])
def test_both_libraries_have_the_same_cosines_in_float32(threads, monkeypatch):
    monkeypatch.setattr(module, "SERIAL", threads)
    numbers = [value.detach().float().requires_grad_() for value in given_numbers(2, rows=200)]
    exact = [value.detach().double().requires_grad_() for value in numbers]
    found, wanted = waves(*numbers), plain_waves(*exact)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4)
    gradients = torch.autograd.grad(found.square().sum(), numbers)
    for gradient, other in zip(gradients, torch.autograd.grad(wanted.square().sum(), exact), strict=True):
        torch.testing.assert_close(gradient.double(), other, rtol=1e-3, atol=1e-2)


def test_half_precision_takes_the_plain_way():
    numbers = [value.detach().float() for value in given_numbers(None)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(waves(*numbers), plain_waves(*numbers))
