"""What losses of several labels share."""

import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.losses import Asymmetric, DistributionBalanced, LabelLoss
from steelyard.losses._labels import as_label_rows

LOSSES = {"asymmetric": Asymmetric, "distribution-balanced": lambda **more: DistributionBalanced([8, 3, 1], 12, **more)}
every_loss = pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES)


@every_loss
def test_reductions_are_those_of_torch(make):
    logits, target = torch.randn(5, 3), torch.randint(0, 2, (5, 3))
    values = make(reduction="none")(logits, target)
    assert isinstance(make(), LabelLoss) and values.shape == (5, 3)
    torch.testing.assert_close(make(reduction="sum")(logits, target), values.sum())
    torch.testing.assert_close(make()(logits, target), values.mean())


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_values_and_gradients_are_finite_at_any_score(make, dtype):
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 30.0]], dtype=dtype, requires_grad=True)
    for target in (torch.zeros(2, 3), torch.ones(2, 3)):
        value = make()(logits, target)
        assert value.dtype == torch.float32 and bool(value.isfinite())
        (gradient,) = torch.autograd.grad(value, logits)
        assert bool(gradient.isfinite().all())


@every_loss
def test_nothing_known_is_nothing_learnt(make):
    logits = torch.randn(2, 3, requires_grad=True)
    value = make()(logits, torch.full((2, 3), torch.nan))
    value.backward()
    assert float(value.detach()) == 0 and not logits.grad.any()


@pytest.mark.parametrize(
    ("logits", "target", "says"),
    [
        (torch.zeros(3), torch.zeros(3), "log-odds of shape"),
        (torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3), "log-odds of shape"),
        (torch.zeros(2, 3), torch.zeros(2), r"0 and 1 of shape \[2, 3\]"),
        (torch.zeros(2, 3), torch.full((2, 3), 2), "found 2"),
        (torch.zeros(2, 3), torch.full((2, 3), 0.3), "found 0.3"),
    ],
)
def test_what_are_no_labels_is_refused(logits, target, says):
    with pytest.raises(ArgumentError, match=says):
        as_label_rows(logits, target)
