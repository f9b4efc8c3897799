from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import nn

from steelyard.core.errors import DataError
from steelyard.data.encoder import TableEncoder
from steelyard.data.resident import ResidentSource
from steelyard.data.streamed import StreamedSource
from steelyard.tasks.tables import TableTask, embeds_categories

FRAME = pd.DataFrame({"age": [20.0, 30, 40, 50], "city": ["a", "b", "a", "c"], "paid": [True, False, True, True]})
TARGET = torch.tensor([0, 1, 0, 0])


def task(**settings: object) -> TableTask:
    frames = {"train": FRAME, "test": FRAME.assign(city="new")}
    return TableTask.of("people", ["no", "yes"], frames, {"train": TARGET, "test": TARGET}, **settings)  # type: ignore[arg-type]


def test_the_mlp_embeds_categories() -> None:
    made = task()
    inputs = made.splits["train"].inputs  # type: ignore[attr-defined]
    assert inputs["numeric"].shape == (4, 2) and inputs["categorical"][:, 0].tolist() == [1, 2, 1, 3]
    model = made.model()
    assert any(isinstance(layer, nn.Embedding) for layer in model.modules())
    assert model(inputs).shape == (4, 2)
    assert made.splits["test"].inputs["categorical"][:, 0].tolist() == [0] * 4  # type: ignore[attr-defined]


def test_other_models_get_a_column_for_each_category() -> None:
    made = task(model=lambda classes: nn.Linear(5, classes))
    inputs = made.splits["train"].inputs  # type: ignore[attr-defined]
    assert inputs.shape == (4, 5) and inputs.dtype == torch.float32
    assert inputs[:, 2:].tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert made.model()(inputs).shape == (4, 2)
    assert embeds_categories("mlp") and embeds_categories("auto") and not embeds_categories(nn.Linear(1, 1))


def test_new_rows_are_encoded_as_the_training_rows_were() -> None:
    made = task(model=nn.Linear(5, 2))
    assert torch.equal(made.encode(FRAME.assign(more=1)), made.splits["train"].inputs)  # type: ignore[attr-defined, arg-type]
    with pytest.raises(DataError, match="no column 'age'"):
        made.encode(FRAME.drop(columns="age"))


def test_sources_are_resident_or_streamed() -> None:
    one, other = task(), task(residence="streamed")
    assert isinstance(one.splits["train"], ResidentSource) and isinstance(other.splits["train"], StreamedSource)
    rows = [torch.tensor([2, 0])]
    (_, mine), (_, yours) = next(iter(one.splits["train"].stream(rows))), next(iter(other.splits["train"].stream(rows)))
    assert all(torch.equal(mine[name], yours[name]) for name in ("numeric", "categorical"))


def test_encoded_sources_can_be_given() -> None:
    encoder = TableEncoder.fit(FRAME)
    made = TableTask("mine", ["no", "yes"], {"train": ResidentSource(encoder.encode(FRAME), TARGET)}, encoder, notes=["a note"])
    assert made.describe()["features"] == "2 numeric and 1 categorical columns"
    assert made.describe()["notes"] == ["a note"]
    assert made.model()(made.splits["train"].inputs).shape == (4, 2)  # type: ignore[attr-defined]


def test_what_is_left_out_is_noted_and_missing_values_are_refused() -> None:
    gaps = FRAME.assign(empty=float("nan"))
    with pytest.raises(DataError, match="column 'empty' has 4 missing values"):
        TableTask.of("people", ["no", "yes"], {"train": gaps}, {"train": TARGET})
    made = TableTask.of("people", ["no", "yes"], {"train": gaps}, {"train": TARGET}, missing="median")
    assert made.notes == ("column 'empty' was left out: no training row has a value there",)
