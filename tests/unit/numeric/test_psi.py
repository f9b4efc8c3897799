"""Functions of a cross-entropy."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.numeric.psi import focal, generalized


@given(st.floats(0, 50), st.floats(0.01, 0.99))
def test_generalized_is_its_formula(nll, q):
    u = torch.tensor(-nll, dtype=torch.float64).exp()
    torch.testing.assert_close(generalized(torch.tensor(nll, dtype=torch.float64), q), (1 - u**q) / q, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("q", [0.0, 1e-300, 1e-45, 1e-20, 1e-12, 1e-6, 0.5, 0.999999])
def test_generalized_is_finite_for_any_q(dtype, q):
    nll = torch.tensor([0.0, 1e-15, 1e-6, 1.0, 69.0, 2e4], dtype=dtype, requires_grad=True)
    values = generalized(nll, q)
    (slope,) = torch.autograd.grad(values.sum(), nll)
    assert bool(torch.isfinite(values).all())
    torch.testing.assert_close(slope, torch.exp(-q * nll.detach()))
    if q < 1e-9:
        torch.testing.assert_close(values, nll, rtol=1e-4, atol=0)


@given(st.floats(1e-6, 50), st.sampled_from([0.25, 0.5, 1.0, 2.0, 7.0]))
def test_focal_is_its_formula(nll, gamma):
    p = torch.tensor(-nll, dtype=torch.float64).exp()
    torch.testing.assert_close(
        focal(torch.tensor(nll, dtype=torch.float64), gamma), -((1 - p) ** gamma) * p.log(), rtol=1e-8, atol=0
    )


@pytest.mark.parametrize("gamma", [0.0, 0.001, 0.1, 0.5, 1.0, 2.0, 100.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_focal_has_finite_derivatives_where_rows_are_certain(gamma, dtype):
    nll = torch.tensor([0.0, 1e-40, 1e-20, 1e-15, 1e-9, 1.0, 104.0, 2e4], dtype=dtype, requires_grad=True)
    values = focal(nll, gamma)
    (slope,) = torch.autograd.grad(values.sum(), nll, create_graph=True)
    curves = torch.autograd.grad(slope.sum(), nll)[0] if slope.requires_grad else torch.zeros(1)
    for found in (values, slope, curves):
        assert bool(torch.isfinite(found).all())
    if gamma > 0:
        assert values[0].item() == 0
    torch.testing.assert_close(slope[-1], torch.ones_like(slope[-1]))  # of a row that is all wrong it is cross-entropy


def test_focal_of_nothing_is_the_cross_entropy_itself():
    nll = torch.rand(3)
    assert focal(nll, 0) is nll
    assert generalized(nll, 0) is nll
