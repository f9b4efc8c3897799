"""Weights and margins of the class-aware loss."""

import numpy as np
import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.losses import GeneralizedClassAware

COUNTS = [90, 9, 1, 0]


def test_weights_in_every_form():
    rho, pi = torch.tensor([0.5, 1.0, 1.5, 1.0], dtype=torch.float64), torch.tensor([90, 9, 1, 1], dtype=torch.float64) / 101
    for weight, expected in (("rho_over_prior", rho / pi), ("inverse_prior", 1 / pi)):
        made = {
            how: GeneralizedClassAware(COUNTS, margins=rho, weight=weight, normalise=how).class_weights
            for how in ("none", "rows", "classes")
        }
        torch.testing.assert_close(made["none"], expected)
        torch.testing.assert_close(made["classes"], expected / expected.mean())
        torch.testing.assert_close(made["rows"], expected / (pi * expected).sum())


def test_margins_may_be_a_list_an_array_or_a_tensor():
    logits, target = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    rho = [0.5, 1.0, 2.0, 3.0]
    expected = GeneralizedClassAware(COUNTS, margins=rho)(logits, target)
    for margins in (np.array(rho), torch.tensor(rho), torch.tensor(rho, requires_grad=True), tuple(rho)):
        torch.testing.assert_close(GeneralizedClassAware(COUNTS, margins=margins)(logits, target), expected)


def test_no_margins_are_margins_of_one():
    logits, target = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    for weight in ("rho_over_prior", "inverse_prior"):
        one = GeneralizedClassAware(COUNTS, q=0.3, margins=[1.0] * 4, weight=weight)(logits, target)
        torch.testing.assert_close(GeneralizedClassAware(COUNTS, q=0.3, weight=weight)(logits, target), one)


@pytest.mark.parametrize(
    ("settings", "argument"),
    [
        ({"q": 1.0}, "q"),
        ({"q": -0.1}, "q"),
        ({"margins": [1.0, 1.0]}, "margins"),
        ({"margins": [1.0, 1.0, 0.0, 1.0]}, "margins"),
        ({"margins": [1.0, 1.0, float("nan"), 1.0]}, "margins"),
        ({"margins": [[1.0] * 4]}, "margins"),
        ({"weight": "prior"}, "weight"),
        ({"normalise": "batch"}, "normalise"),
    ],
)
def test_wrong_settings_are_named(settings, argument):
    with pytest.raises(ArgumentError) as raised:
        GeneralizedClassAware(COUNTS, **settings)
    assert raised.value.argument == argument
