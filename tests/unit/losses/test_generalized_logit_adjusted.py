"""The bounded logit adjustment."""

import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.losses import GeneralizedLogitAdjusted


@pytest.mark.parametrize("q", [0.0, 0.25, 0.5, 0.9])
def test_the_default_strength_is_the_consistent_one(q):
    loss = GeneralizedLogitAdjusted([90, 10], q=q)
    assert loss.tau == pytest.approx(1 / (1 - q))
    assert GeneralizedLogitAdjusted([90, 10], q=q, tau=1.0).tau == 1


def test_values_are_bounded_by_one_over_q():
    logits, target = 1e4 * torch.randn(100, 3), torch.randint(3, (100,))
    for q in (0.2, 0.5, 0.9):
        values = GeneralizedLogitAdjusted([50, 5, 1], q=q).rows(logits, target)
        assert 0 <= float(values.min()) <= float(values.max()) <= 1 / q + 1e-6


def test_rows_that_are_hopeless_do_not_pull():
    hopeless = torch.tensor([[-50.0, 50.0]], requires_grad=True)
    GeneralizedLogitAdjusted([5, 5], q=0.5)(hopeless, torch.tensor([0])).backward()
    assert float(hopeless.grad.abs().max()) < 1e-15


@pytest.mark.parametrize(
    ("settings", "argument"), [({"q": 1}, "q"), ({"q": -1}, "q"), ({"q": None}, "q"), ({"tau": float("nan")}, "tau")]
)
def test_wrong_settings_are_named(settings, argument):
    with pytest.raises(ArgumentError) as raised:
        GeneralizedLogitAdjusted([2, 1], **settings)
    assert raised.value.argument == argument
