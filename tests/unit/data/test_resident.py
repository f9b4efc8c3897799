from __future__ import annotations

import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.data.resident import ResidentSource
from steelyard.data.scale import RESIDENT_BYTES, is_resident


def test_rows_come_in_the_order_asked_for() -> None:
    source = ResidentSource(torch.arange(10.0).reshape(5, 2), torch.tensor([0, 1, 0, 1, 1]))
    batches = [torch.tensor([4, 0, 4]), torch.tensor([1])]
    got = list(source.stream(batches))
    assert [index.tolist() for index, _ in got] == [[4, 0, 4], [1]]
    assert got[0][1].tolist() == [[8.0, 9.0], [0.0, 1.0], [8.0, 9.0]]


def test_mappings_are_indexed_entry_by_entry() -> None:
    inputs = {"numeric": torch.rand(3, 2), "categorical": torch.tensor([[1], [2], [3]])}
    ((_, got),) = ResidentSource(inputs, torch.tensor([0, 1, 1])).stream([torch.tensor([2, 0])])
    assert got["categorical"].tolist() == [[3], [1]]
    assert torch.equal(got["numeric"], inputs["numeric"][[2, 0]])


def test_batches_are_drawn_lazily() -> None:
    drawn = []

    def batches():
        for row in range(3):
            drawn.append(row)
            yield torch.tensor([row])

    stream = ResidentSource(torch.rand(3, 1), torch.tensor([0, 1, 1])).stream(batches())
    next(stream)
    assert drawn == [0]


def test_to_the_device_that_it_is_on_is_itself() -> None:
    source = ResidentSource(torch.rand(3, 1), torch.tensor([0, 1, 1]))
    assert source.to(torch.device("cpu")) is source
    other = source.to(torch.device("meta"))
    assert other.device.type == "meta" and other.target.device.type == "cpu"


@pytest.mark.parametrize("inputs", [torch.rand(2, 1), {"a": torch.rand(3, 1), "b": torch.rand(4, 1)}])
def test_lengths_must_agree(inputs: object) -> None:
    with pytest.raises(ArgumentError, match="as many rows as the target"):
        ResidentSource(inputs, torch.tensor([0, 1, 1]))  # type: ignore[arg-type]


def test_which_inputs_are_resident() -> None:
    assert is_resident(RESIDENT_BYTES) and not is_resident(RESIDENT_BYTES + 1)
    assert is_resident(RESIDENT_BYTES + 1, "resident") and not is_resident(1, "streamed")
    with pytest.raises(ArgumentError, match="residence"):
        is_resident(1, "somewhere")
