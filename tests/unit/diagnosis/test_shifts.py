from __future__ import annotations

import pytest
import torch

from steelyard.diagnosis.shifts import balancing_offsets, lost_shares, shifted_recall


def scores(counts: tuple[int, ...], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    target = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    logits = torch.randn(len(target), len(counts), generator=draw, dtype=torch.float64)
    logits[torch.arange(len(target)), target] += 1.5
    return logits, target


def test_offsets_undo_a_shift_of_whole_classes() -> None:
    logits, target = scores((300, 300, 300))
    moved = logits + torch.tensor([3.0, 0.0, -2.0])
    plain, again = balancing_offsets(logits, target), balancing_offsets(moved, target)
    # A shift common to all classes changes nothing.
    difference = (plain - again) - (plain - again).mean()
    assert difference == pytest.approx(torch.tensor([3.0, 0.0, -2.0]) - 1 / 3, abs=1e-4)


def test_offsets_are_where_the_gradient_of_the_balanced_loss_is_zero() -> None:
    logits, target = scores((200, 40, 10))
    offsets = balancing_offsets(logits, target).requires_grad_(True)
    rows = torch.nn.functional.cross_entropy(logits + offsets, target, reduction="none")
    loss = torch.stack([rows[target == c].mean() for c in range(3)]).mean()
    (gradient,) = torch.autograd.grad(loss, offsets)
    assert float(gradient.abs().max()) < 1e-5


def test_a_shifted_model_gets_its_recall_back() -> None:
    logits, target = scores((400, 400))
    moved = logits + torch.tensor([4.0, 0.0])
    worst = float((moved.argmax(1)[target == 1] == 1).double().mean())
    before = [float((logits.argmax(1)[target == c] == c).double().mean()) for c in range(2)]
    assert worst < 0.15
    assert shifted_recall(moved, target).tolist() == pytest.approx(before, abs=0.05)


def test_no_row_chooses_its_own_offset() -> None:
    """Scores that say nothing stay at chance, which offsets fitted to the same rows would not."""
    draw = torch.Generator().manual_seed(0)
    target = torch.arange(20).repeat_interleave(2)
    logits = torch.randn(40, 20, generator=draw)
    assert float(shifted_recall(logits, target).mean()) < 0.2


def test_a_class_with_one_row_is_not_known() -> None:
    logits, target = scores((20, 1))
    found = shifted_recall(logits, target)
    assert torch.isnan(found[1])
    assert found[0] > 0.5


def test_the_parts_add_up() -> None:
    learnt, recall, shifted = torch.rand(3, 5)
    parts = lost_shares(learnt, recall, shifted)
    torch.testing.assert_close(parts.shift + parts.rows + parts.fit, 1 - recall)
