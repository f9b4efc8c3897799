from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.head import find_head
from steelyard.decisions import Adjusted, TauNormalize
from steelyard.nets import MLP, NormedLinear, ResNet32, SmallCNN, with_head


def network(bias: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3, bias=bias))


def by_hand(model: nn.Sequential, inputs: Tensor, tau: float, keep_bias: bool = False) -> Tensor:
    """Through the classifier with its rows divided."""
    head = model[2]
    weight = head.weight / head.weight.norm(dim=1, keepdim=True) ** tau
    return F.linear(model[:2](inputs), weight, head.bias if keep_bias else None)


@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("keep_bias", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_scores_are_those_of_the_normalised_classifier(tau: float, keep_bias: bool, bias: bool) -> None:
    model, inputs = network(bias).double(), torch.randn(6, 4).double()
    decided = Adjusted(model, TauNormalize(tau, keep_bias=keep_bias))(inputs)
    torch.testing.assert_close(decided, by_hand(model, inputs, tau, keep_bias))


def test_without_strength_and_bias_nothing_changes() -> None:
    model, inputs = network(bias=False), torch.randn(6, 4)
    assert torch.equal(TauNormalize(0.0).of(model)(model(inputs)), model(inputs))


def test_tau_one_gives_all_classes_the_same_norm() -> None:
    model = nn.Linear(5, 4, bias=False)
    with torch.no_grad():
        model.weight.mul_(torch.tensor([[9.0], [3.0], [1.0], [0.1]]))
    decided = TauNormalize(1.0).of(model)(model(torch.eye(5)))
    torch.testing.assert_close(decided.norm(dim=0), torch.ones(4))


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_rows_of_zeros_are_guarded(tau: float) -> None:
    model = nn.Linear(4, 3)
    with torch.no_grad():
        model.weight[1] = 0
    scores = TauNormalize(tau).of(model)(model(torch.randn(5, 4)))
    assert torch.isfinite(scores).all()
    assert torch.equal(scores[:, 1], torch.zeros(5))
    with torch.no_grad():
        model.weight.zero_()
    assert torch.equal(TauNormalize(tau).of(model)(model(torch.randn(5, 4))), torch.zeros(5, 3))


def test_weights_that_are_loaded_later_count() -> None:
    model, other, inputs = network(), network(), torch.randn(6, 4)
    adjusted = Adjusted(model, TauNormalize(1.5))
    model.load_state_dict(other.state_dict())
    torch.testing.assert_close(adjusted(inputs), by_hand(other, inputs, 1.5))


def test_a_copy_looks_at_its_own_weights() -> None:
    adjusted, inputs = Adjusted(network(), TauNormalize(1.0)), torch.randn(6, 4)
    before = adjusted(inputs)
    twin = copy.deepcopy(adjusted)
    with torch.no_grad():
        adjusted.model[2].weight.mul_(torch.tensor([[1.0], [5.0], [9.0]]))
    assert torch.equal(twin(inputs), before)


def test_it_adds_nothing_to_the_state_and_hides_no_classifier() -> None:
    model = network()
    adjusted = Adjusted(model, TauNormalize(1.0))
    assert {name.removeprefix("model.") for name in adjusted.state_dict()} == set(model.state_dict())
    found = find_head(adjusted)
    assert found is not None
    assert found[0] == "model.2"


def test_half_precision_scores_come_back_in_float32() -> None:
    model = network()
    assert TauNormalize().of(model)(torch.zeros(1, 3, dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (MLP(3, numeric=2, cardinalities=[2]), {"numeric": torch.randn(4, 2), "categorical": torch.ones(4, 1).long()}),
        (SmallCNN(3, 1, width=2), torch.randn(4, 1, 8, 8)),
        (ResNet32(3), torch.randn(4, 3, 8, 8)),
        (nn.Linear(4, 3), torch.randn(4, 4)),
    ],
)
def test_models_of_every_kind(model: nn.Module, inputs: object) -> None:
    assert Adjusted(model, TauNormalize(1.0)).eval()(inputs).shape == (4, 3)


def test_other_classifiers_are_refused_with_the_reason() -> None:
    with pytest.raises(CombinationError, match="NormedLinear"):
        Adjusted(with_head(network(), NormedLinear(8, 3)), TauNormalize())
    with pytest.raises(CombinationError, match="no linear layer"):
        TauNormalize().of(nn.Sequential(nn.Flatten()))


def test_without_a_model_it_says_what_to_do() -> None:
    with pytest.raises(ArgumentError, match="of\\(model\\)"):
        TauNormalize()(torch.zeros(1, 3))


@pytest.mark.parametrize("tau", [-1.0, math.nan, math.inf])
def test_a_strength_that_cannot_be_is_refused(tau: float) -> None:
    with pytest.raises(ArgumentError, match="`tau`"):
        TauNormalize(tau)


def test_scores_of_other_classes_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`logits`"):
        TauNormalize().of(network())(torch.zeros(1, 4))
