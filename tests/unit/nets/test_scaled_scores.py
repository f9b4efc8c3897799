"""Factors for the scores of each class."""

import pytest
import torch
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.decisions import TauNormalize
from steelyard.nets import ScaledScores, find_head


def test_it_starts_as_the_model_and_multiplies_weight_and_bias():
    model, inputs = nn.Linear(4, 3).double(), torch.randn(5, 4).double()
    scaled = ScaledScores(model, 3)
    assert torch.equal(scaled(inputs), model(inputs))
    factors = torch.tensor([0.5, 2.0, -1.0], dtype=torch.float64)
    with torch.no_grad():
        scaled.scale.copy_(factors)
    expected = inputs @ (factors[:, None] * model.weight).T + factors * model.bias
    torch.testing.assert_close(scaled(inputs), expected)


@pytest.mark.parametrize("tau", [0.0, 0.7, 2.0])
def test_powers_of_the_norms_without_bias_are_tau_normalisation(tau):
    model, inputs = nn.Linear(4, 3, bias=False), torch.randn(5, 4)
    scaled = ScaledScores(model, 3)
    with torch.no_grad():
        scaled.scale.copy_(model.weight.norm(dim=1) ** -tau)
    torch.testing.assert_close(scaled(inputs), TauNormalize(tau).of(model)(model(inputs)))


def test_the_gradient_of_a_factor_is_that_of_its_class():
    model, inputs = nn.Linear(4, 3), torch.randn(5, 4)
    scaled = ScaledScores(model, 3)
    scaled(inputs)[:, 1].sum().backward()
    torch.testing.assert_close(scaled.scale.grad, torch.tensor([0.0, model(inputs)[:, 1].sum().item(), 0.0]))


def test_half_precision_scores_come_back_in_float32_and_the_classifier_is_found():
    scaled = ScaledScores(nn.Linear(4, 3).bfloat16(), 3)
    assert scaled(torch.randn(2, 4).bfloat16()).dtype == torch.float32
    assert find_head(scaled)[0] == "model"


def test_no_classes_and_other_classes_are_refused():
    with pytest.raises(ArgumentError, match="num_classes"):
        ScaledScores(nn.Linear(4, 3), 0)
    with pytest.raises(ArgumentError, match="`logits`"):
        ScaledScores(nn.Linear(4, 3), 2)(torch.randn(2, 4))
