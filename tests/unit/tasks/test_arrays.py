from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.stage import Stage
from steelyard.data.resident import ResidentSource
from steelyard.tasks.arrays import ArrayTask, shape_of

TARGET = torch.tensor([0, 1, 1, 1] * 5)


def task(inputs: Any, **settings: Any) -> ArrayTask:
    return ArrayTask("mine", ["no", "yes"], {"train": ResidentSource(inputs, TARGET)}, **settings)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 4)
        self.head = nn.Linear(6, 2)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.head(torch.cat([self.embed(inputs["word"]), inputs["rest"]], 1))


def plain(task: Any) -> Iterator[Stage]:
    yield Stage()


def test_any_model_learns_from_a_mapping_of_tensors() -> None:
    inputs = {"word": torch.arange(20) % 9, "rest": torch.randn(20, 2)}
    made = task(inputs, model=TwoInputs)
    assert shape_of(made.splits["train"]) == ()
    assert made.describe()["features"] == "as the dataset gives them"
    fitted = fit(made, plain, Regime(epochs=2, batch_size=8, lr=0.1, warmup_epochs=0), device="cpu")
    assert len(fitted.history) == 2


def test_whole_numbers_stay_whole_for_a_model_of_ones_own_and_not_for_one_of_ours() -> None:
    words = torch.randint(0, 9, (20, 3))
    own = task(words, model=nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2)))
    assert own.model()(own.load(words, augment="none", generator=None)).shape == (20, 2)
    ours = task(words)
    assert ours.model()(ours.load(words, augment="none", generator=None)).shape == (20, 2)


def test_there_is_no_augmentation() -> None:
    rows = torch.randn(2, 3)
    assert torch.equal(task(torch.randn(20, 3)).load(rows, augment="strong", generator=None), rows)
    with pytest.raises(DataError, match="no augmentation 'crop-flip'"):
        task(torch.randn(20, 3)).load(torch.randn(2, 3), augment="crop-flip", generator=None)


@pytest.mark.parametrize("shape", [(20, 3, 4), (20, 2, 3, 4), (20,)])
def test_the_usual_model_takes_one_dimension(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="`model`") as caught:
        task(torch.zeros(shape))
    assert ("--task images" in str(caught.value)) is (len(shape) > 2)
    assert task(torch.zeros(20, 7)).describe()["features"] == "7 numbers"
