from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score
from tiny import Blobs, network

from steelyard.core.measure import predict_logits, recall_of, validation_numbers


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
