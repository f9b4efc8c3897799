"""Logit adjustment."""

import pytest
import torch
import torch.nn.functional as F

from steelyard.core.errors import ArgumentError
from steelyard.losses import LogitAdjusted


def test_the_shift_is_the_log_prior():
    loss = LogitAdjusted([75, 25, 0], tau=2.0)
    torch.testing.assert_close(loss.shift, 2 * (torch.tensor([75, 25, 1], dtype=torch.float64) / 101).log())
    logits, target = torch.randn(3, 3, dtype=torch.float64), torch.arange(3)
    torch.testing.assert_close(loss(logits, target), F.cross_entropy(logits + loss.shift, target))


@pytest.mark.parametrize("tau", [float("inf"), float("nan"), None, "1"])
def test_wrong_tau_is_named(tau):
    with pytest.raises(ArgumentError, match="`tau` should be a finite number"):
        LogitAdjusted([2, 1], tau=tau)
