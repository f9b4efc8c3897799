"""ARB: whose counts, and who gets a gradient."""

import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.losses import ARB


def gradients(loss, logits, target, **context):
    leaf = logits.clone().requires_grad_()
    loss.rows(leaf, target, **context).sum().backward()
    return leaf.grad


def test_a_class_that_is_absent_is_neither_pushed_nor_pulled():
    logits, target = 50 * torch.randn(6, 5), torch.tensor([0, 0, 3, 3, 3, 0])
    found = gradients(ARB(), logits, target)
    assert not found[:, [1, 2, 4]].any()
    assert bool((gradients(ARB([1] * 5), logits / 50, target) != 0).all())


def test_a_batch_of_one_class_has_no_loss():
    logits, target = torch.randn(4, 3), torch.full((4,), 1)
    assert ARB()(logits, target).item() == 0
    assert not gradients(ARB(), logits, target).any()


def test_gradient_is_attraction_and_repulsion():
    """For a row of class y: `q_j` on the others and `q_y - 1` on its own, with `q_j` of `k_j exp(z_j)`."""
    logits, target = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1, 2])
    pushed = torch.tensor([3.0, 2.0, 1.0]) * logits.exp()
    q = pushed / pushed.sum(1, keepdim=True)
    torch.testing.assert_close(gradients(ARB(), logits, target), q - torch.nn.functional.one_hot(target, 3))


def test_gradients_do_not_end_at_thirty():
    logits = torch.tensor([[100.0, 0.0], [0.0, 100.0]])
    assert float(gradients(ARB(), logits, torch.tensor([1, 0])).abs().min()) > 0.9


def test_counts_of_a_whole_batch_for_parts_of_it():
    logits, target = torch.randn(8, 4), torch.tensor([0, 0, 0, 1, 1, 2, 0, 0])
    whole = ARB().rows(logits, target)
    counts = torch.bincount(target, minlength=4)
    parts = [ARB().rows(logits[part], target[part], batch_counts=counts) for part in (slice(0, 3), slice(3, 8))]
    torch.testing.assert_close(torch.cat(parts), whole)


@pytest.mark.parametrize("wrong", [torch.ones(3), torch.ones(2, 2), torch.ones(1)], ids=lambda t: str(list(t.shape)))
def test_batch_counts_of_another_length_are_refused(wrong):
    with pytest.raises(ArgumentError, match="`batch_counts` should be"):
        ARB()(torch.zeros(2, 2), torch.tensor([0, 1]), batch_counts=wrong)


def test_given_counts_are_used_whatever_the_batch():
    logits, target = torch.randn(4, 2), torch.zeros(4, dtype=torch.int64)
    loss = ARB([9, 1])
    torch.testing.assert_close(loss.rows(logits, target, batch_counts=torch.tensor([4, 0])), loss.rows(logits, target))
    assert "counts=given" in repr(loss)
    assert "counts=batch" in repr(ARB())
