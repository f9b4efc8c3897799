from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score
from tiny import Blobs, network

from steelyard.core.measure import predict_logits, recall_of, validation_numbers, with_offsets


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_recall_and_f1_are_scikit_learn_s(pairs: list[tuple[int, int]]) -> None:
    prediction, target = (torch.tensor(side) for side in zip(*pairs, strict=True))
    recall, f1 = recall_of(prediction, target, 5)
    seen = sorted(set(target.tolist()))
    expected = recall_score(target, prediction, labels=seen, average=None, zero_division=0)
    assert recall[seen].tolist() == pytest.approx(expected.tolist())
    expected = f1_score(target, prediction, labels=seen, average=None, zero_division=0)
    assert f1[seen].tolist() == pytest.approx(expected.tolist())
    assert recall.isnan().sum() == f1.isnan().sum() == 5 - len(seen)


def test_measuring_changes_nothing_and_keeps_the_order() -> None:
    task = Blobs(counts=(1500, 700, 40))
    model = network().train()
    model[3].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    logits, target = predict_logits(task, model, task.splits["train"])
    assert [module.training for module in model] == [True, True, True, False, True]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    model.eval()
    torch.testing.assert_close(logits, model(task.splits["train"].inputs).detach())
    assert torch.equal(target, task.splits["train"].target)


def test_validation_numbers() -> None:
    task = Blobs()
    numbers = validation_numbers(task, network(), task.splits["valid"])
    assert numbers["balanced_accuracy"] == pytest.approx(float(numbers["recall"].mean()))
    assert 0 <= numbers["accuracy"] <= 1
    assert numbers["loss"] > 0


@given(st.integers(0, 1000), st.integers(2, 5))
def test_offsets_take_out_what_shifts_all_scores_of_a_class(seed: int, classes: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    target = torch.cat([torch.arange(classes), torch.randint(classes, (60,), generator=draw)])
    logits = torch.randn(len(target), classes, generator=draw, dtype=torch.float64)
    logits += 0.5 * torch.nn.functional.one_hot(target, classes)
    fitted = with_offsets(logits, target, rounds=500)
    # The gradient of the loss by the offsets is zero: probabilities sum to the rows of each class.
    torch.testing.assert_close(torch.softmax(fitted, 1).sum(0), torch.bincount(target).double())
    shifted = with_offsets(logits + 7 * torch.randn(classes, generator=draw), target, rounds=500)
    torch.testing.assert_close(torch.log_softmax(shifted, 1), torch.log_softmax(fitted, 1))
    rough = torch.nn.functional.cross_entropy(with_offsets(logits, target), target)
    torch.testing.assert_close(rough, torch.nn.functional.cross_entropy(fitted, target), rtol=1e-4, atol=1e-6)


def test_offsets_leave_classes_without_rows_alone() -> None:
    fitted = with_offsets(torch.zeros(3, 3), torch.tensor([0, 0, 1]), rounds=200)
    assert torch.isfinite(fitted).all()
    assert (fitted[:, 2] == 0).all()


def test_the_fitted_loss_is_measured_where_it_is_watched() -> None:
    task, model = Blobs(), network()
    assert validation_numbers(task, model, task.splits["valid"])["fitted_loss"] is None
    watched = validation_numbers(task, model, task.splits["valid"], "log_loss")
    assert 0 < watched["fitted_loss"] <= watched["loss"]
