from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Clock
from steelyard.losses.rebalanced_binary import RebalancedBinary


def batch(few: int, many: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(seed)
    target = torch.cat([torch.zeros(few), torch.ones(many)]).long()[torch.randperm(few + many, generator=stream)]
    return torch.randn(few + many, 2, generator=stream, dtype=torch.float64), target


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """By hand: mean over the two scores of the binary cross-entropy with the one-hot label."""
    right = logits.gather(1, target[:, None])[:, 0]
    wrong = logits.gather(1, 1 - target[:, None])[:, 0]
    return (F.softplus(-right) + F.softplus(wrong)) / 2


def balanced(logits: Tensor, target: Tensor) -> Tensor:
    losses = bce(logits, target)
    return (losses[target == 0].mean() + losses[target == 1].mean()) / 2


def test_a_balanced_batch_is_the_plain_mean() -> None:
    logits, target = batch(7, 7)
    torch.testing.assert_close(RebalancedBinary([1, 9])(logits, target), bce(logits, target).mean())


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("rows", [1, 5])
def test_a_batch_of_one_class_is_the_plain_mean_and_finite(label: int, rows: int) -> None:
    logits, _ = batch(0, rows)
    target = torch.full((rows,), label)
    for counts in (None, [1, 9], [9, 1]):
        value = RebalancedBinary(counts)(logits, target)
        assert torch.isfinite(value)
        torch.testing.assert_close(value, bce(logits, target).mean())


def test_no_rows_give_no_values() -> None:
    assert RebalancedBinary().rows(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_the_formula_for_some_subset() -> None:
    """Whatever is drawn: all of the minority, as many of the majority, each class half."""
    logits, target = batch(3, 20)
    losses = bce(logits, target)
    values = RebalancedBinary([3, 20]).rows(logits, target)
    kept = values != 0
    assert kept[target == 0].all()
    assert int(kept[target == 1].sum()) == 3
    torch.testing.assert_close(values[kept], losses[kept] * 23 / 6)
    expected = (losses[target == 0].mean() + losses[kept & (target == 1)].mean()) / 2
    torch.testing.assert_close(values.mean(), expected)


def test_the_mean_over_subsets_is_the_balanced_loss() -> None:
    logits, target = batch(4, 30)
    loss = RebalancedBinary([4, 30])
    draws = torch.stack([loss(logits, target, clock=Clock(step=step)) for step in range(3000)])
    error = draws.std() / len(draws) ** 0.5
    assert abs(float(draws.mean() - balanced(logits, target))) < 4 * float(error)
    torch.testing.assert_close(RebalancedBinary([4, 30], subsample=False)(logits, target), balanced(logits, target))


def test_rows_that_are_not_drawn_have_no_gradient() -> None:
    logits, target = batch(2, 10)
    logits.requires_grad_()
    values = RebalancedBinary([2, 10]).rows(logits, target)
    (grad,) = torch.autograd.grad(values.mean(), logits)
    assert torch.equal((grad != 0).any(1), values != 0)


def test_the_ratio_of_the_classes_does_not_change_the_scale() -> None:
    for many in (5, 50, 500):
        target = torch.cat([torch.zeros(5), torch.ones(many)]).long()
        torch.testing.assert_close(RebalancedBinary([5, many])(torch.zeros(5 + many, 2), target), torch.tensor(2.0).log())


def test_a_batch_in_which_the_minority_is_larger_keeps_all_rows() -> None:
    logits, target = batch(12, 3)
    torch.testing.assert_close(RebalancedBinary([10, 90])(logits, target), balanced(logits, target))
    assert int((RebalancedBinary()(logits, target, clock=Clock()) != 0).sum()) == 1
    assert int((RebalancedBinary(None, reduction="none")(logits, target) != 0).sum()) == 6  # of each batch's own larger class


def test_the_subset_belongs_to_the_seed_and_the_step() -> None:
    logits, target = batch(3, 40)
    first, other_seed = RebalancedBinary([3, 40], seed=1), RebalancedBinary([3, 40], seed=2)
    one, again = (first.rows(logits, target, clock=Clock(step=7)) for _ in range(2))
    assert torch.equal(one, again)
    assert not torch.equal(one, first.rows(logits, target, clock=Clock(step=8)))
    assert not torch.equal(one, other_seed.rows(logits, target, clock=Clock(step=7)))
    assert not torch.equal(first.rows(logits, target), first.rows(logits, target))  # calls are counted without a clock


def test_extreme_scores_in_half_precision_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4], [3e4, 3e4]], dtype=torch.float16, requires_grad=True)
    values = RebalancedBinary().rows(logits, torch.tensor([1, 1, 0]))
    assert values.dtype == torch.float32
    assert torch.isfinite(values).all()
    values.sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_more_classes_are_thinned_to_the_rarest_in_the_batch() -> None:
    stream = torch.Generator().manual_seed(0)
    target = torch.tensor([0] * 2 + [1] * 9 + [2] * 30)
    logits = torch.randn(41, 3, generator=stream, dtype=torch.float64)
    losses = F.binary_cross_entropy_with_logits(logits, F.one_hot(target, 3).double(), reduction="none").mean(1)
    values = RebalancedBinary([2, 9, 30]).rows(logits, target)
    assert torch.bincount(target[values != 0]).tolist() == [2, 2, 2]
    torch.testing.assert_close(values[values != 0], (losses * 41 / 6)[values != 0])
    every = RebalancedBinary([2, 9, 30], subsample=False)(logits, target)
    torch.testing.assert_close(every, torch.stack([losses[target == c].mean() for c in range(3)]).mean())
    without = RebalancedBinary([2, 9, 30]).rows(logits[2:], target[2:])  # then the second class is the rarest
    assert torch.bincount(target[2:][without != 0]).tolist() == [0, 9, 9]


def test_scores_of_other_classes_than_were_counted_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"\[N, 2\]"):
        RebalancedBinary([3, 9])(torch.zeros(4, 3), torch.zeros(4).long())
