from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from steelyard.core.errors import ArgumentError
from steelyard.data.resident import ResidentSource
from steelyard.data.streamed import ArrayRows, StreamedSource

BATCHES = [torch.tensor([5, 2, 9]), torch.tensor([0]), torch.tensor([7, 7, 1, 3])]


class Noisy(Dataset[Any]):
    """Draws from all three global streams, as augmentations of other libraries do."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return torch.tensor([row, float(torch.rand(())), np.random.rand(), random.random()]), row % 2


def target_of(rows: int) -> torch.Tensor:
    return torch.arange(rows) % 2


def values(source: StreamedSource, batches: list[torch.Tensor] = BATCHES) -> list[list[float]]:
    return [row for _, inputs in source.stream(iter(batches)) for row in inputs.tolist()]


@pytest.mark.parametrize("workers", [0, 2])
def test_same_rows_as_resident_in_the_order_asked_for(workers: int) -> None:
    array = torch.rand(10, 3)
    resident = ResidentSource(array, target_of(10))
    streamed = StreamedSource(ArrayRows(array), target_of(10), workers=workers)
    for (index, inputs), (expected_index, expected) in zip(
        streamed.stream(iter(BATCHES)), resident.stream(BATCHES), strict=True
    ):
        assert torch.equal(index, expected_index)
        assert torch.equal(inputs, expected)


def test_draws_of_a_dataset_do_not_depend_on_workers_or_on_where_one_starts() -> None:
    alone = values(StreamedSource(Noisy(), target_of(10)))
    assert alone == values(StreamedSource(Noisy(), target_of(10), workers=2))
    assert alone[4:] == values(StreamedSource(Noisy(), target_of(10)), BATCHES[2:])
    assert alone != values(StreamedSource(Noisy(), target_of(10), seed=1))
    assert len({row[1] for row in alone}) == len(alone)


def test_the_global_generators_are_left_as_found() -> None:
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    values(StreamedSource(Noisy(), target_of(10)))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert before[2] == random.getstate()


def test_rows_choose_a_part_of_the_dataset() -> None:
    source = StreamedSource(Noisy(), torch.tensor([1, 0]), rows=torch.tensor([8, 3]))
    assert [row[0] for row in values(source, [torch.tensor([1, 0])])] == [3.0, 8.0]


def test_torch_datasets_with_batched_reading() -> None:
    data = TensorDataset(torch.arange(10.0)[:, None], target_of(10))
    source = StreamedSource(Subset(data, [4, 5, 6]), torch.tensor([0, 1, 0]))
    assert values(source, [torch.tensor([2, 0])]) == [[6.0], [4.0]]


def test_mapped_files_and_mappings(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(20, dtype=np.float32).reshape(10, 2))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    source = StreamedSource(ArrayRows(np.asarray(mapped).copy()), target_of(10))
    assert values(source, [torch.tensor([3])]) == [[6.0, 7.0]]
    both = StreamedSource(ArrayRows({"numeric": torch.rand(4, 2), "categorical": torch.arange(4)[:, None]}), target_of(4))
    ((_, inputs),) = both.stream([torch.tensor([3, 1])])
    assert inputs["categorical"].tolist() == [[3], [1]]


def test_a_read_only_mapped_file_is_read_without_warning(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(20, dtype=np.float32).reshape(10, 2))
    source = StreamedSource(ArrayRows(np.load(tmp_path / "x.npy", mmap_mode="r")), target_of(10))
    assert values(source, [torch.tensor([9, 1])]) == [[18.0, 19.0], [2.0, 3.0]]


def test_to_another_device_reads_the_same_dataset() -> None:
    source = StreamedSource(Noisy(), target_of(10), workers=1, seed=5)
    assert source.to(torch.device("cpu")) is source
    other = source.to(torch.device("meta"))
    assert (other.device.type, other.dataset, other.workers, other.seed) == ("meta", source.dataset, 1, 5)


def test_arguments() -> None:
    with pytest.raises(ArgumentError, match="as many labels as the dataset has rows"):
        StreamedSource(Noisy(), target_of(9))
    with pytest.raises(ArgumentError, match="workers"):
        StreamedSource(Noisy(), target_of(10), workers=-1)
