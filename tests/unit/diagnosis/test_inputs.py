from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from trained_facts import small_task

import steelyard as sy
from steelyard.diagnosis import inputs
from steelyard.diagnosis.inputs import inputs_of


def test_arrays_are_what_the_model_is_given() -> None:
    task = small_task()
    rows = torch.tensor([1, 4])
    values, why = inputs_of(task, "train", rows)
    _, given = next(iter(task.splits["train"].stream(iter([rows]))))
    assert why == ""
    assert values == pytest.approx(given.numpy())


def test_categories_are_a_column_a_level() -> None:
    frame = pd.DataFrame({"size": np.arange(80.0) ** 1.1, "city": ["x", "y", "z", "x"] * 20, "label": ["a", "b"] * 40})
    task = sy.problems.load(frame, target="label")
    values, _ = inputs_of(task, "train", torch.arange(len(task.splits["train"])))
    assert values is not None
    assert values.shape[1] == 1 + 3
    assert (values[:, 1:].sum(1) == 1).all()


def test_images_are_laid_out_as_rows() -> None:
    values, _ = inputs_of(sy.problems.load("digits"), "test", torch.arange(5))
    assert values is not None
    assert values.shape == (5, 64)


def test_other_kinds_and_too_wide_rows_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    task = small_task()
    monkeypatch.setattr(inputs, "CELLS", 10)
    assert "too many" in inputs_of(task, "train", torch.arange(20))[1]
    monkeypatch.setattr(task, "kind", "graphs")
    assert inputs_of(task, "train", torch.arange(2)) == (None, "graphs are no rows of numbers")
