from __future__ import annotations

import pytest
import torch
from torch import nn
from trained_facts import fitted, small_task

from steelyard.core.modes import evaluating
from steelyard.diagnosis.embeddings import choose_rows, embed, linear_head


def test_features_are_what_goes_into_the_last_layer() -> None:
    found = fitted("ce")
    rows = torch.tensor([0, 7, 11])
    seen = embed(found.task, found.model, "train", rows)
    source = found.task.splits["train"]
    _, inputs = next(iter(source.stream(iter([rows]))))
    with torch.no_grad():
        assert seen.features is not None
        torch.testing.assert_close(seen.features, found.model.eval()[:2](inputs))
        torch.testing.assert_close(seen.logits, found.model(inputs))
    assert seen.target.tolist() == source.target[rows].tolist()


def test_recall_counts_each_class_on_its_own() -> None:
    found = fitted("ce")
    seen = embed(found.task, found.model, "test")
    decided = seen.logits.argmax(1)
    for c in range(3):
        mine = seen.target == c
        assert seen.recall(4)[c] == pytest.approx(float((decided[mine] == c).double().mean()))
    assert torch.isnan(seen.recall(4)[3])


def test_a_model_without_a_linear_layer_has_scores_and_a_reason() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs[:, :3] * self.scale

    seen = embed(small_task(), Plain(), "test")
    assert seen.features is None
    assert "has no last linear layer" in seen.why
    assert seen.logits.shape == (len(seen.target), 3)


def test_modes_are_put_back_also_when_the_model_fails() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(6, 3)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            raise ValueError("broken")

    model = Broken()
    model.inner.eval()
    with pytest.raises(ValueError, match="broken"):
        embed(small_task(), model, "test")
    assert model.training
    assert not model.inner.training
    with evaluating(model):
        assert not model.training


def test_chosen_rows_are_the_same_each_time_and_keep_rare_classes_whole() -> None:
    task = small_task()
    rows = choose_rows(task, "train", per_class=50, seed=3)
    assert torch.equal(rows, choose_rows(task, "train", per_class=50, seed=3))
    assert torch.equal(rows, rows.sort().values)
    counts = torch.bincount(task.splits["train"].target[rows], minlength=3)
    assert counts.tolist() == task.counts.clamp_max(50).tolist()


def test_of_too_many_rows_the_largest_classes_give_up_theirs_first() -> None:
    task = small_task()
    rows = choose_rows(task, "train", per_class=500, most=60, seed=0)
    counts = torch.bincount(task.splits["train"].target[rows], minlength=3).tolist()
    assert sum(counts) <= 60
    assert counts[2] == min(int(task.counts[2]), max(counts))


def test_a_head_that_is_not_linear_has_no_weight() -> None:
    weight, bias = linear_head(nn.Sequential(nn.Linear(4, 2, bias=False)))
    assert weight is not None
    assert bias is None
    assert linear_head(nn.Identity()) == (None, None)
