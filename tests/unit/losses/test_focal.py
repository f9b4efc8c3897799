"""Focal loss."""

import pytest
import torch
import torch.nn.functional as F

from steelyard.core.errors import ArgumentError
from steelyard.losses import Focal


def test_rows_that_are_right_fade():
    logits, target = torch.tensor([[0.0, 0.0], [5.0, 0.0], [-5.0, 0.0]]), torch.zeros(3, dtype=torch.int64)
    kept = Focal(2.0).rows(logits, target) / F.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(kept, (1 - logits.softmax(1)[:, 0]) ** 2, rtol=1e-4, atol=0)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_certain_rows_have_no_gradient_and_no_nan(gamma, dtype):
    logits = torch.tensor([[1e4, 0.0], [90.0, -90.0], [17.0, 0.0]], dtype=dtype, requires_grad=True)
    Focal(gamma, reduction="sum")(logits, torch.zeros(3, dtype=torch.int64)).backward()
    assert bool(torch.isfinite(logits.grad).all())
    assert float(logits.grad[:2].abs().max()) < 1e-10


@pytest.mark.parametrize("gamma", [-1, float("nan"), float("inf"), "2"])
def test_wrong_gamma_is_named(gamma):
    with pytest.raises(ArgumentError, match="`gamma`"):
        Focal(gamma)
