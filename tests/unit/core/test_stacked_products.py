from __future__ import annotations

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core import stacked_products
from steelyard.core.stacked_products import LEAST, Affine, Block, Hidden, multiply, weight_gradient


def numbers(*shapes: tuple[int, ...]) -> list[Tensor]:
    stream = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=stream).requires_grad_() for shape in shapes]


@pytest.fixture(params=["kernel", "no kernel"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no kernel":
        monkeypatch.setattr(stacked_products, "kernel", lambda: None)


@pytest.mark.parametrize("sizes", [(3, 4, 5), (300, 70, 40), (300, 40, 70), (LEAST // 64, 8, 8)])
def test_products_are_those_of_float64(kernel: None, sizes: tuple[int, int, int]) -> None:
    rows, wide, out = sizes
    inputs, weight, bias, grad = (value.detach() for value in numbers((rows, wide), (out, wide), (out,), (rows, out)))
    exact = inputs.double() @ weight.double().T
    torch.testing.assert_close(multiply(inputs, weight).double(), exact, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(multiply(inputs, weight, bias).double(), exact + bias, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(multiply(grad, weight.T).double(), grad.double() @ weight.double(), rtol=1e-4, atol=1e-4)
    wanted = grad.double().T @ inputs.double()
    torch.testing.assert_close(weight_gradient(grad, inputs).double(), wanted, rtol=1e-4, atol=1e-3)


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


def reference(inputs: Tensor, blocks: list[Block], values: list[Tensor]) -> Tensor:
    for at, block in enumerate(blocks):
        weight, bias, scale, shift = values[4 * at : 4 * at + 4]
        hidden = torch.einsum("kni,koi->kno", inputs, weight) + bias.unsqueeze(1)
        normal = F.layer_norm(hidden, hidden.shape[-1:], eps=block.eps) * scale.unsqueeze(1) + shift.unsqueeze(1)
        kept = 1.0 if block.mask is None else (block.mask > block.level) * block.factor
        inputs = normal.relu() * kept
    return inputs


@pytest.mark.parametrize("rows", [6, 300])
@pytest.mark.parametrize("dropped", [True, False])
def test_hidden_blocks_and_their_gradients_are_those_of_the_layers(kernel: None, rows: int, dropped: bool) -> None:
    stream = torch.Generator().manual_seed(1)
    inputs, *values = numbers(
        (3, rows, 20), (3, 90, 20), (3, 90), (3, 90), (3, 90), (3, 40, 90), (3, 40), (3, 40), (3, 40)
    )  # fmt: skip
    masks = [torch.randint(-9, 9, (3, rows, size), generator=stream).short() if dropped else None for size in (90, 40)]
    blocks = [Block(1e-5, mask, -6.0, 1.25 if dropped else 1.0) for mask in masks]
    found, wanted = Hidden.apply(inputs, blocks, *values), reference(inputs, blocks, values)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
    ours = torch.autograd.grad(found.sin().sum(), [inputs, *values])
    theirs = torch.autograd.grad(wanted.sin().sum(), [inputs, *values])
    for gradient, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, other, rtol=2e-3, atol=2e-3)


def test_a_step_leaves_nothing_behind() -> None:
    inputs, *values = numbers((2, 4, 3), (2, 5, 3), (2, 5), (2, 5), (2, 5))
    gc.disable()
    try:
        found = Hidden.apply(inputs, [Block(1e-5)], *values)
        held = weakref.ref(found)
        found.sum().backward()
        del found
        assert held() is None
    finally:
        gc.enable()
