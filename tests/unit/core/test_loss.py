"""The base of losses, and what they refuse. What every loss of the package does is in tests/laws/test_loss_laws.py."""

import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.core.loss import CrossEntropy, Loss, as_rows, upcast


class Halved(Loss):
    def rows(self, logits, target, *, by=2.0, **_):
        return CrossEntropy().rows(logits, target) / by


def test_a_new_loss_is_its_rows():
    logits, target = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    values = CrossEntropy(reduction="none")(logits, target) / 2
    assert torch.equal(Halved("none")(logits, target), values)
    assert torch.equal(Halved("sum")(logits, target), values.sum())
    assert torch.equal(Halved()(logits, target), values.mean())
    assert torch.equal(Halved()(logits, target, by=1.0, other=3), 2 * values.mean())


def test_a_loss_without_rows_is_none():
    with pytest.raises(TypeError, match="rows"):
        Loss()


@pytest.mark.parametrize("reduction", ["batchmean", "", None, 1])
def test_reductions_are_three(reduction):
    with pytest.raises(ArgumentError, match="`reduction` should be 'mean', 'sum' or 'none'"):
        CrossEntropy(reduction=reduction)


@pytest.mark.parametrize(
    ("given", "raised"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_precision_is_raised(given, raised):
    assert upcast(torch.zeros(1, dtype=given)).dtype == raised
    assert as_rows(torch.zeros(1, 2, dtype=given), torch.tensor([1]))[0].dtype == raised


def test_rows_of_integers_of_any_width():
    for dtype in (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8):
        assert as_rows(torch.zeros(1, 2), torch.tensor([1], dtype=dtype))[1].dtype == torch.int64


def test_the_range_is_not_looked_at_inside_a_map():
    seen = torch.func.vmap(lambda z, y: as_rows(z[None], y[None])[1][0])(torch.zeros(2, 3), torch.tensor([0, 2]))
    assert seen.tolist() == [0, 2]
    assert as_rows(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))[1].shape == (0,)


def test_the_message_says_what_there_was():
    with pytest.raises(ArgumentError, match=r"class indices from 0 to 2 .*; found indices from -1 to 7"):
        as_rows(torch.zeros(3, 3), torch.tensor([7, -1, 0]))
    with pytest.raises(ArgumentError, match="one column a class of class_counts"):
        as_rows(torch.zeros(3, 3), torch.tensor([0, 1, 2]), 4)
