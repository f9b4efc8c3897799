"""Balanced Softmax."""

import torch

from steelyard.losses import BalancedSoftmax


def test_counts_multiply_the_exponentials():
    logits, target, counts = torch.randn(5, 3).double(), torch.tensor([0, 1, 2, 2, 0]), torch.tensor([70, 20, 10])
    shares = counts * logits.exp()
    expected = -(shares.gather(1, target[:, None]).squeeze(1) / shares.sum(1)).log()
    torch.testing.assert_close(BalancedSoftmax(counts).rows(logits, target), expected)


def test_rare_classes_cost_more_at_equal_scores():
    values = BalancedSoftmax([100, 10, 0], reduction="none")(torch.zeros(3, 3), torch.arange(3))
    assert bool((values.diff() > 0).all())
    assert bool(torch.isfinite(values).all())
