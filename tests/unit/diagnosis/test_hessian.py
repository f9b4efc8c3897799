from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, SteelyardError
from steelyard.core.rows import Batch
from steelyard.diagnosis.curvature_data import Batches
from steelyard.diagnosis.hessian import Hessian, still
from steelyard.losses import CrossEntropy


def rows(sizes: tuple[int, ...]) -> tuple[Tensor, Tensor, Batches]:
    stream = torch.Generator().manual_seed(0)
    inputs = torch.randn(sum(sizes), 3, generator=stream, dtype=torch.float64)
    target = torch.arange(sum(sizes)) % 2
    cut = zip(inputs.split(list(sizes)), target.split(list(sizes)), strict=True)
    return inputs, target, [({"batch": Batch(some, classes, classes)}, classes) for some, classes in cut]


def net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


@pytest.mark.parametrize("sizes", [(9,), (5, 3, 1)])
def test_products_and_gradient_whatever_the_batches(sizes: tuple[int, ...]) -> None:
    model = net()
    inputs, target, batches = rows(sizes)
    hessian = Hessian(model, CrossEntropy(), None, batches, 2)
    names = [name for name, _ in model.named_parameters()]

    def loss(*values: Tensor) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(model, dict(zip(names, values, strict=True)), (inputs,)), target)

    values = tuple(value.detach() for value in model.parameters())
    blocks = torch.autograd.functional.hessian(loss, values)
    size = hessian.like.numel()
    full = torch.cat([torch.cat([b.reshape(v.numel(), -1) for b in line], 1) for v, line in zip(values, blocks, strict=True)])
    columns = torch.randn(size, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(hessian(columns), full @ columns)
    mean, gradient = hessian.gradient()
    assert mean == pytest.approx(float(loss(*values)))
    torch.testing.assert_close(gradient, torch.cat([g.flatten() for g in torch.autograd.functional.jacobian(loss, values)]))
    hessian.check_repeats()


def test_attention_has_products() -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 8).double()

        def forward(self, inputs: Tensor) -> Tensor:
            tokens = self.inner(inputs).reshape(len(inputs), 1, 4, 2)
            scores: Tensor = F.scaled_dot_product_attention(tokens, tokens, tokens).mean((1, 2))
            return scores

    model = Attending()
    with still(model):
        Hessian(model, CrossEntropy(), None, rows((6,))[2], 2).check_repeats()


def test_losses_that_are_not_finite_are_refused() -> None:
    model = net()
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    with pytest.raises(ArgumentError, match="finite"):
        Hessian(model, CrossEntropy(), None, rows((4,))[2], 1).check_repeats()


def test_still_gives_flags_back() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Linear(2, 2).eval())
    with still(model):
        assert not model[0].training
    assert [module.training for module in model] == [True, False]


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "curvlinops", None)
    with pytest.raises(SteelyardError, match=r"steelyard\[diagnosis\]"):
        Hessian(net(), CrossEntropy(), None, rows((4,))[2], 1)
