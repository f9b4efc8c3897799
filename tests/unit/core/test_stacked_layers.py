from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from steelyard.core.stacked_layers import for_many, kept


def both(make: list[nn.Module], inputs: Tensor, many: bool) -> tuple[Tensor, list[Tensor]]:
    """Outputs and gradients of stacked models, and of each on its own."""
    if not many:
        found = torch.stack([model(inputs) for model in make])
        found.sin().sum().backward()
        gradients = [dict(model.named_parameters()) for model in make]
        return found, [torch.stack([own[name].grad for own in gradients]) for name in gradients[0]]  # type: ignore[misc]
    params, buffers = stack_module_state(make)
    bare = for_many(copy.deepcopy(make[0]))
    found = vmap(lambda p, b: functional_call(bare, (p, b), (inputs,)), randomness="different")(params, buffers)
    found.sin().sum().backward()
    return found, [value.grad for value in params.values()]


@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5)])
@pytest.mark.parametrize("share", [None, 0.0])
def test_layers_and_gradients_are_those_of_each_model(shape: tuple[int, ...], share: float | None) -> None:
    def model() -> nn.Module:
        drop = [] if share is None else [nn.Dropout(share)]
        first = [nn.LayerNorm(5), nn.Linear(5, 6), nn.LayerNorm(6), nn.ReLU(), *drop]
        made = nn.Sequential(*first, nn.Linear(6, 4, bias=False), nn.LayerNorm(4, elementwise_affine=False), nn.Linear(4, 3))
        for parameter in made.parameters():
            nn.init.normal_(parameter)
        return made

    models = [model() for _ in range(3)]
    inputs = torch.randn(shape)
    found, gradients = both(models, inputs, True)
    wanted, theirs = both(models, inputs, False)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    for gradient, other in zip(gradients, theirs, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norm", [True, False])
def test_dropout_of_many_drops_differently_and_differentiates_what_it_did(norm: bool) -> None:
    layers = [nn.LayerNorm(400), nn.ReLU(), nn.Dropout(0.25)] if norm else [nn.Identity(), nn.ReLU(), nn.Dropout(0.25)]
    bare = for_many(nn.Sequential(*copy.deepcopy(layers)))
    inputs = torch.randn(3, 5, 400, requires_grad=True)
    found = vmap(bare, randomness="different")(inputs)
    plain = nn.Sequential(*copy.deepcopy(layers[:2])).requires_grad_(False)(inputs)
    factor = (found / plain).detach()[plain > 0.01]
    assert ((factor - 4 / 3).abs().lt(1e-4) | (factor == 0)).all()
    assert float((factor == 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert not torch.equal(found[0] == 0, found[1] == 0)
    (gradient,) = torch.autograd.grad((found * torch.arange(400)).sum(), inputs)
    mask = torch.where(plain > 0, (found / plain).detach().nan_to_num(0, 0, 0), 0.0)
    (wanted,) = torch.autograd.grad((plain * mask * torch.arange(400)).sum(), inputs)
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_shares_kept_are_right_and_unbiased(share: float) -> None:
    found = kept(torch.Size([100, 1001]), share)
    values = found.unique()
    assert values.tolist() == pytest.approx([0.0, 1 / (1 - share)], rel=1e-4)
    error = (share * (1 - share) / found.numel()) ** 0.5
    assert float((found == 0).double().mean()) == pytest.approx(share, abs=5 * error)
    neighbours = ((found[:, 1:] == 0) & (found[:, :-1] == 0)).double().mean()
    assert float(neighbours) == pytest.approx(share**2, abs=8 * error)


def test_half_precision_and_evaluation_take_the_plain_way() -> None:
    bare = for_many(nn.Sequential(nn.LayerNorm(4), nn.ReLU(), nn.Dropout(0.5)))
    inputs = torch.randn(2, 3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(vmap(bare, randomness="different")(inputs)).all()
    wanted = nn.functional.layer_norm(inputs, (4,)).relu()
    torch.testing.assert_close(vmap(bare.eval(), randomness="different")(inputs), wanted)
    torch.testing.assert_close(vmap(bare.double(), randomness="different")(inputs.double()), wanted.double())
