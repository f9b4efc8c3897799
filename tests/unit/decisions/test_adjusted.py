from __future__ import annotations

import torch
from torch import nn

from steelyard.core.head import find_head
from steelyard.decisions import Adjusted, LogitShift


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def test_scores_go_through_the_decision() -> None:
    model, inputs = network(), torch.randn(3, 4)
    shift = LogitShift([9, 1])
    assert torch.equal(Adjusted(model, shift)(inputs), shift(model(inputs)))


def test_models_may_take_several_or_named_inputs() -> None:
    class Two(nn.Module):
        def forward(self, first: torch.Tensor, *, second: torch.Tensor) -> torch.Tensor:
            return first + second

    assert torch.equal(Adjusted(Two(), nn.Identity())(torch.ones(1, 2), second=torch.ones(1, 2)), torch.full((1, 2), 2.0))


def test_the_classifier_stays_to_be_found() -> None:
    model = network()
    found = find_head(Adjusted(model, LogitShift([9, 1])))
    assert found is not None
    assert found[0] == "model.2"
    assert found[1] is model[2]


def test_state_goes_round() -> None:
    one, other = Adjusted(network(), LogitShift([9, 1])), Adjusted(network(), LogitShift([1, 1]))
    other.load_state_dict(one.state_dict())
    inputs = torch.randn(3, 4)
    assert torch.equal(one(inputs), other(inputs))
    assert {name.partition(".")[0] for name in one.state_dict()} == {"model", "decision"}
