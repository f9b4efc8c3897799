from __future__ import annotations

import pytest
import torch
from torch import Tensor

from steelyard.core import stacked_products
from steelyard.core.stacked_products import LEAST, NEVER, Affine, least, multiply, weight_gradient


def numbers(*shapes: tuple[int, ...]) -> list[Tensor]:
    stream = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=stream).requires_grad_() for shape in shapes]


@pytest.fixture(params=["kernel", "no kernel"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no kernel":
        monkeypatch.setattr(stacked_products, "least", lambda: NEVER)


@pytest.mark.parametrize("sizes", [(3, 4, 5), (300, 70, 40), (300, 40, 70), (LEAST // 64, 8, 8)])
def test_products_are_those_of_float64(kernel: None, sizes: tuple[int, int, int]) -> None:
    rows, wide, out = sizes
    inputs, weight, bias, grad = (value.detach() for value in numbers((rows, wide), (out, wide), (out,), (rows, out)))
    exact, enough = inputs.double() @ weight.double().T, stacked_products.least()
    torch.testing.assert_close(multiply(inputs, weight, None, enough).double(), exact, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(multiply(inputs, weight, bias, enough).double(), exact + bias, rtol=1e-4, atol=1e-4)
    back = multiply(grad, weight.T, None, enough)
    torch.testing.assert_close(back.double(), grad.double() @ weight.double(), rtol=1e-4, atol=1e-4)
    wanted = grad.double().T @ inputs.double()
    torch.testing.assert_close(weight_gradient(grad, inputs, enough).double(), wanted, rtol=1e-4, atol=1e-3)


def test_double_precision_takes_the_usual_product() -> None:
    inputs, weight = (value.detach().double() for value in numbers((300, 70), (40, 70)))
    assert torch.equal(multiply(inputs, weight, None, least()), inputs @ weight.T)


@pytest.mark.parametrize("rows", [5, 400])
@pytest.mark.parametrize("biased", [True, False])
def test_affine_is_each_members_layer_forward_and_back(kernel: None, rows: int, biased: bool) -> None:
    inputs, weight, bias = numbers((3, rows, 40), (3, 50, 40), (3, 50))
    given = (inputs, weight, bias) if biased else (inputs, weight)
    found = Affine.apply(inputs, weight, bias if biased else None)
    wanted = torch.einsum("kni,koi->kno", inputs, weight) + (bias.unsqueeze(1) if biased else 0)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    ours, theirs = torch.autograd.grad(found.sin().sum(), given), torch.autograd.grad(wanted.sin().sum(), given)
    for gradient, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-3)
