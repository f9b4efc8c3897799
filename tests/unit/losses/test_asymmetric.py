"""Asymmetric loss."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.losses import Asymmetric


def entries(seed, rows=6, labels=4):
    stream = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(rows, labels, generator=stream, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(0, 2, (rows, labels), generator=stream)


@given(st.floats(0, 6), st.floats(0, 3), st.floats(0, 0.5), st.integers(0, 99))
def test_it_is_the_formula(gamma_neg, gamma_pos, margin, seed):
    logits, target = entries(seed)
    p = logits.sigmoid()
    q = (p - margin).clamp_min(0)
    wanted = torch.where(target == 1, -((1 - p) ** gamma_pos) * p.log(), -(q**gamma_neg) * (1 - q).log())
    found = Asymmetric(gamma_neg, gamma_pos, margin, reduction="none")(logits, target)
    torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-9)


def test_without_factors_and_margin_it_is_binary_cross_entropy():
    logits, target = entries(0)
    plain = F.binary_cross_entropy_with_logits(logits, target.double())
    torch.testing.assert_close(Asymmetric(0.0, 0.0, 0.0)(logits, target), plain)


@pytest.mark.parametrize("settings", [(4.0, 0.0, 0.05), (4.0, 1.0, 0.0), (0.5, 0.5, 0.05), (0.0, 0.0, 0.2)])
def test_its_gradient_is_right_and_finite_everywhere(settings):
    loss = Asymmetric(*settings, reduction="none")
    logits, target = entries(3)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits, atol=1e-6)
    wild = torch.tensor([[1e4, -1e4, 0.0], [-2.9444, -2.9445, -2.9443]], requires_grad=True)
    for y in (0, 1):
        values = loss(wild, torch.full((2, 3), y))
        assert bool(values.isfinite().all()) and bool((values >= 0).all())
        (gradient,) = torch.autograd.grad(values.sum(), wild)
        assert bool(gradient.isfinite().all())


def test_an_easy_absence_costs_nothing_and_learns_nothing():
    logits = torch.tensor([[-4.0]], requires_grad=True)  # p = 0.018, below the margin
    value = Asymmetric()(logits, torch.tensor([[0]]))
    value.backward()
    assert float(value.detach()) == 0 and float(logits.grad) == 0


def test_labels_that_are_not_known_are_left_out_of_the_mean():
    logits, target = entries(5)
    holes = target.double()
    holes[::2, 1] = torch.nan
    known = ~holes.isnan()
    values = Asymmetric(reduction="none")(logits, target)
    torch.testing.assert_close(Asymmetric()(logits, holes), values[known].mean())
    assert not Asymmetric(reduction="none")(logits, holes)[~known].any()


@pytest.mark.parametrize(
    ("settings", "argument"),
    [
        ({"gamma_neg": -1.0}, "gamma_neg"),
        ({"gamma_pos": float("nan")}, "gamma_pos"),
        ({"margin": 1.0}, "margin"),
        ({"reduction": "batch"}, "reduction"),
    ],
)
def test_settings_out_of_range_are_named(settings, argument):
    with pytest.raises(ArgumentError, match=f"`{argument}`"):
        Asymmetric(**settings)
