from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.core.regime import clip
from steelyard.core.stacked import Members, judged_of, mean_of, scaled_gradient
from steelyard.decisions import Adjusted, LogitShift
from steelyard.nets import MLP

INPUTS = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))


def test_the_forward_pass_is_the_log_of_the_mean_probability() -> None:
    models = [Adjusted(nn.Linear(5, 3), LogitShift([5, 3, 2 + k])) for k in range(4)]
    members = Members(models).eval()
    wanted = torch.stack([model(INPUTS).double().softmax(1) for model in models]).mean(0).log()
    torch.testing.assert_close(members(INPUTS).double(), wanted, rtol=1e-5, atol=1e-6)
    for number, model in enumerate(models):
        assert torch.equal(members.member(number)(INPUTS), model.eval()(INPUTS))
    assert len(members) == 4
    assert torch.isfinite(Members([nn.Linear(1, 2)] * 2)(torch.full((1, 1), 1e30))).all()


@pytest.mark.parametrize("rows", [5, 3000])
@pytest.mark.parametrize("classes", [2, 20])
def test_the_mean_of_few_and_of_many_rows_is_that_of_probabilities(rows: int, classes: int) -> None:
    logits = torch.randn(3, rows, classes, dtype=torch.float64)
    found = mean_of(logits)
    torch.testing.assert_close(found, logits.softmax(-1).mean(0).log(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(rows, dtype=torch.float64), rtol=1e-14, atol=1e-14)
    assert found.is_contiguous() and mean_of(logits[:1].float()).is_contiguous()


def test_members_of_other_settings_are_scored_one_after_another() -> None:
    models = [nn.Sequential(nn.Linear(5, 2), nn.Softplus(beta)) for beta in (1.0, 4.0)]
    members = Members(models).eval()
    assert not members.alike
    torch.testing.assert_close(members.each(INPUTS), torch.stack([model(INPUTS) for model in models]))


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_state_round_trip(norm: str) -> None:
    def models() -> list[nn.Module]:
        return [MLP(2, 4, [2], hidden=(6,), norm=norm) for _ in range(3)]

    inputs = {"numeric": torch.randn(9, 4), "categorical": torch.randint(0, 3, (9, 1))}
    first, other = Members(models()).train(), Members(models())
    first.each(inputs)
    other.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(first.eval()(inputs), other.eval()(inputs))
    assert all(value.shape[0] == 3 for value in first.state_dict().values())


def test_members_are_copies_that_can_be_written_back() -> None:
    models = [nn.Linear(2, 2), nn.Linear(2, 2)]
    members = Members(models)
    with torch.no_grad():
        members.get_parameter("weight").add_(1)
    assert not torch.equal(members.member(-1).get_parameter("weight"), models[1].weight)
    members.copy_to(models)
    assert torch.equal(members.member(-1).get_parameter("weight"), models[1].weight)
    assert models[1].weight.requires_grad


def test_tied_weights_stay_tied() -> None:
    models = [nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)) for _ in range(2)]
    for model in models:
        model[1].weight = model[0].weight
    members = Members(models)
    torch.testing.assert_close(members.each(INPUTS[:, :2]), torch.stack([model(INPUTS[:, :2]) for model in models]))
    single = members.member(0)
    assert isinstance(single, nn.Sequential)
    assert single[0].weight is single[1].weight


def test_a_buffer_that_counts_goes_on_counting() -> None:
    class Counting(nn.Linear):
        calls: torch.Tensor

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            self.calls.add_(1)
            return super().forward(input)

    models: list[nn.Module] = [Counting(5, 2) for _ in range(3)]
    for model in models:
        model.register_buffer("calls", torch.zeros(()))
    members = Members(models).train()
    members.each(INPUTS)
    members.each(INPUTS)
    assert members.get_buffer("calls").tolist() == [2.0, 2.0, 2.0]


def test_judged_models_hold_the_trained_numbers() -> None:
    models = [nn.Linear(5, 2), nn.Linear(5, 2)]
    trained = Members(models)
    judged = judged_of(trained, models, [Adjusted(model, LogitShift([3, 1])) for model in models])
    assert judged.get_parameter("model.weight") is trained.get_parameter("weight")
    assert judged_of(trained, models, models) is trained


def test_a_gradient_is_scaled_by_member_alone() -> None:
    logits = torch.randn(3, 4, 2, requires_grad=True)
    factor = torch.tensor([1.0, 0.0, 2.5])
    found = scaled_gradient(logits, factor)
    assert torch.equal(found, logits)
    found.sin().sum().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, logits.detach().cos() * factor[:, None, None])
    (gradient,) = torch.autograd.grad(scaled_gradient(logits, 3).sin().sum(), logits)
    torch.testing.assert_close(gradient, 3 * logits.detach().cos())


def test_members_are_clipped_each_on_its_own() -> None:
    models = [nn.Linear(4, 3) for _ in range(3)]
    stacked = Members(models)
    for number, model in enumerate(models):
        for name, parameter in model.named_parameters():
            parameter.grad = torch.randn_like(parameter) * 10 ** (number - 1)
            held = stacked.get_parameter(name)
            held.grad = torch.zeros_like(held) if held.grad is None else held.grad
            held.grad[number] = parameter.grad
        clip(model.parameters(), 1.0)
    clip(stacked.parameters(), 1.0, stacked=True)
    for number, model in enumerate(models):
        for name, parameter in model.named_parameters():
            gradient = stacked.get_parameter(name).grad
            assert gradient is not None
            torch.testing.assert_close(gradient[number], parameter.grad)


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="models"):
        Members([])
    with pytest.raises(ArgumentError, match="differs from model 0"):
        Members([nn.Linear(2, 2), nn.Linear(3, 2)])
