"""Class-dependent label smoothing."""

import pytest
import torch
import torch.nn.functional as F

from steelyard.core.errors import ArgumentError
from steelyard.losses import ClassSmoothing


def test_each_row_is_smoothed_as_its_class():
    loss = ClassSmoothing([100, 10, 1], 0.0, 0.4, "tail")
    logits, target = torch.randn(3, 3, dtype=torch.float64), torch.arange(3)
    for i, smoothing in enumerate([0.0, 0.2, 0.4]):
        one = F.cross_entropy(logits[i : i + 1], target[i : i + 1], label_smoothing=smoothing)
        torch.testing.assert_close(loss.rows(logits, target)[i], one)


def test_the_directions_are_opposite():
    counts = [1000, 100, 10]
    head, tail = (ClassSmoothing(counts, 0.1, 0.4, direction).smoothing for direction in ("head", "tail"))
    assert head.argmax() == tail.argmin() == 0
    assert head.argmin() == tail.argmax() == 2


def test_smoothed_rows_are_least_where_the_scores_say_the_smoothed_target():
    loss = ClassSmoothing([5, 5, 5], 0.3, 0.3, "head")
    logits = torch.tensor([[0.8, 0.1, 0.1]]).log().requires_grad_()
    loss(logits, torch.tensor([0])).backward()
    torch.testing.assert_close(logits.grad, torch.zeros(1, 3))


@pytest.mark.parametrize(
    ("settings", "argument"),
    [
        ((-0.1, 0.4, "head"), "minimum"),
        ((1.0, 1.0, "head"), "minimum"),
        ((0.4, 0.1, "head"), "maximum"),
        ((0.1, 1.0, "tail"), "maximum"),
        ((0.1, 0.4, "heads"), "direction"),
        ((0.1, 0.4, None), "direction"),
    ],
)
def test_wrong_settings_are_named(settings, argument):
    with pytest.raises(ArgumentError) as raised:
        ClassSmoothing([3, 2], *settings)
    assert raised.value.argument == argument
