from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from steelyard.core.stacked import Members
from steelyard.core.stacked_layers import for_many, goes_without_map, joined
from steelyard.nets.table_net import TableNet


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


def test_half_precision_and_evaluation_take_the_plain_way() -> None:
    bare = for_many(nn.Sequential(nn.LayerNorm(4), nn.ReLU(), nn.Dropout(0.5)))
    inputs = torch.randn(2, 3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(vmap(bare, randomness="different")(inputs)).all()
    wanted = nn.functional.layer_norm(inputs, (4,)).relu()
    torch.testing.assert_close(vmap(bare.eval(), randomness="different")(inputs), wanted)
    torch.testing.assert_close(vmap(bare.double(), randomness="different")(inputs.double()), wanted.double())


def test_columns_of_members_stand_beside_those_that_all_share() -> None:
    shared, own = torch.arange(10.0).reshape(5, 2), torch.arange(15.0).reshape(3, 5, 1)
    found = joined([shared, own])
    for member in range(3):
        assert torch.equal(found[member], torch.cat([shared, own[member]], 1))
    assert joined([shared]) is shared


@pytest.mark.parametrize("embedding", ["periodic", "piecewise", "none"])
@pytest.mark.parametrize("cardinalities", [(), (4, 1)])
def test_networks_for_tables_need_no_map(embedding: str, cardinalities: tuple[int, ...]) -> None:
    models = [TableNet(3, 4, cardinalities, dropout=0.0, embedding=embedding) for _ in range(3)]
    members = Members(models).train()
    assert members._direct
    inputs: dict[str, Tensor] = {"numeric": torch.randn(50, 4), "categorical": torch.randint(-1, 6, (50, 2))}
    given = inputs if cardinalities else inputs["numeric"]
    found, wanted = members.each(given), torch.stack([model(given) for model in models])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    found.square().sum().backward()
    wanted.square().sum().backward()
    for name, value in members.named_parameters():
        other = torch.stack([model.get_parameter(name).grad for model in models])  # type: ignore[misc]
        torch.testing.assert_close(value.grad, other, rtol=1e-3, atol=1e-4)


def test_a_hook_on_a_layer_of_columns_asks_for_the_map() -> None:
    model = TableNet(2, 3)
    model.columns.register_forward_hook(lambda layer, inputs, output: None)
    assert not goes_without_map(for_many(copy.deepcopy(model)))
    assert goes_without_map(for_many(TableNet(2, 3)))


def test_dropout_after_silu_differs_between_members_and_keeps_its_share() -> None:
    layers = nn.Sequential(nn.Linear(4, 500), nn.SiLU(), nn.Dropout(0.2))
    bare = for_many(copy.deepcopy(layers))
    values = {name: torch.stack([value] * 2) for name, value in layers.named_parameters()}
    with torch.no_grad():
        found = vmap(lambda own: functional_call(bare, own, (torch.ones(9, 4),)), randomness="different")(values)
        whole_output = layers[:2](torch.ones(9, 4))
    assert not torch.equal(found[0], found[1])
    assert float((found == 0).float().mean()) == pytest.approx(0.2, abs=0.03)
    kept_values = torch.where(found == 0, whole_output, found)
    torch.testing.assert_close(kept_values[found != 0], (whole_output / 0.8).expand_as(found)[found != 0], rtol=1e-3, atol=1e-5)


def compared(models: list[TableNet]) -> Tensor:
    """Logits of members, if they are those of the models."""
    inputs = torch.randn(30, 3)
    found, wanted = Members(models).train().each(inputs), torch.stack([model(inputs) for model in models])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    return found


@pytest.mark.parametrize("embedding", ["periodic", "none"])
def test_columns_hidden_layers_and_the_last_one_are_one_operation(embedding: str) -> None:
    found = compared([TableNet(2, 3, dropout=0.0, embedding=embedding) for _ in range(2)])
    assert type(found.grad_fn).__name__ == "SmoothBackward"
    before = [type(function).__name__ for function, _ in found.grad_fn.next_functions if function is not None]
    assert set(before) == {"AccumulateGrad"}


@pytest.mark.parametrize("embedding", ["periodic", "none"])
def test_a_hook_on_hidden_layers_is_heard(embedding: str) -> None:
    models = [TableNet(2, 3, dropout=0.0, embedding=embedding) for _ in range(2)]
    for model in models:
        model.body.register_forward_hook(lambda layer, inputs, output: 2 * output)
    compared(models)


def test_features_of_a_subclass_are_what_the_head_sees() -> None:
    class Doubled(TableNet):
        def features(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
            return 2 * super().features(inputs)

    model, inputs = Doubled(2, 3, dropout=0.0), torch.randn(5, 3)
    assert torch.equal(model(inputs), model.head(model.features(inputs)))
    compared([model, Doubled(2, 3, dropout=0.0)])


@pytest.mark.parametrize("precision", ["bfloat16", "float64"])
def test_categories_alone_are_looked_up_in_any_precision(precision: str) -> None:
    models = [TableNet(2, 0, (3,), dropout=0.0) for _ in range(2)]
    inputs = {"categorical": torch.tensor([[0], [1], [3]])}
    if precision == "float64":
        models = [model.double() for model in models]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        found, wanted = Members(models).train().each(inputs), torch.stack([model(inputs) for model in models])
    torch.testing.assert_close(found.float(), wanted.float(), rtol=1e-2, atol=1e-2)
