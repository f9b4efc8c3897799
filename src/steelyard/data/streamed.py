"""Rows that are too many to be resident: read in batches by a `torch.utils.data.DataLoader`, in the order asked for."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import derive, generator


class StreamedSource:
    """A map-style dataset read on demand.

    Batches come in the order in which they were asked for, whatever the number of workers. Random numbers that the dataset
    itself draws (torch, numpy, random) depend only on which rows are in the batch, so they are the same with any number of
    workers and after a resume in the middle of an epoch.

    Args:
        dataset: `dataset[i]` gives the inputs of row i, or (inputs, label, ...) of which only the inputs are used; where it
            has `__getitems__(rows)`, that gives the inputs of many rows at once, collated.
        target: classes `[N]`.
        rows: which rows of the dataset these are `[N]`; None for all, in order.
        workers: processes that read ahead; 0 reads in this process.
        seed: of the random numbers that the dataset draws.

    Raises:
        ArgumentError: lengths differ, or `workers` is negative.

    Example:
        >>> source = StreamedSource(ArrayRows(np.arange(6.0).reshape(3, 2)), torch.tensor([0, 1, 1]))
        >>> [inputs.tolist() for _, inputs in source.stream([torch.tensor([2, 0])])]
        [[[4.0, 5.0], [0.0, 1.0]]]
    """

    def __init__(
        self, dataset: Dataset[Any], target: Tensor, *, rows: Tensor | None = None, workers: int = 0, seed: int = 0
    ) -> None:
        held = len(dataset) if rows is None else len(rows)  # type: ignore[arg-type]
        if held != len(target):
            raise ArgumentError("target", f"as many labels as the dataset has rows ({held})", len(target))
        if workers < 0:
            raise ArgumentError("workers", "0 or more", workers)
        self.dataset, self.rows, self.workers, self.seed = dataset, rows, workers, seed
        self.target = target.detach().to("cpu", torch.int64)
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: torch.device) -> StreamedSource:
        """The same rows, delivered to `device`."""
        if self.device == torch.device(device):
            return self
        other = StreamedSource(self.dataset, self.target, rows=self.rows, workers=self.workers, seed=self.seed)
        other.device = torch.device(device)
        return other

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Any]]:
        """For each index tensor `[M]`: the index and the inputs of those rows, on the device."""
        loader: DataLoader[Any] = DataLoader(
            _Batches(self.dataset, self.rows, self.seed),
            batch_sampler=_AsLists(batches),
            num_workers=self.workers,
            collate_fn=_as_is,
            pin_memory=self.device.type == "cuda",
            generator=generator(self.seed, "loader"),  # otherwise the loader draws from torch's global stream
        )
        for index, inputs in loader:
            yield index.to(self.device, non_blocking=True), _deliver(inputs, self.device)


class ArrayRows(Dataset[Any]):
    """Rows of arrays that need not be in memory (a `numpy.memmap`, say), read in batches.

    Args:
        arrays: `[N, ...]`, or a mapping of such.
    """

    def __init__(self, arrays: np.ndarray | Tensor | Mapping[str, Tensor]) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())) if isinstance(self.arrays, Mapping) else self.arrays)

    def __getitem__(self, row: int) -> Any:
        if isinstance(self.arrays, Mapping):
            return {name: values[row] for name, values in self.arrays.items()}
        return torch.as_tensor(self.arrays[row])

    def __getitems__(self, rows: list[int]) -> Any:
        """Inputs of many rows, collated."""
        if isinstance(self.arrays, Mapping):
            return {name: values[rows] for name, values in self.arrays.items()}
        return torch.as_tensor(self.arrays[np.asarray(rows)])


class _AsLists:
    """Index tensors as lists: a tensor sent to a worker would be moved to shared memory, a file each."""

    def __init__(self, batches: Iterable[Tensor]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        return (batch.tolist() for batch in self.batches)


class _Batches(Dataset[Any]):
    """Gives the loader whole batches: (index, collated inputs)."""

    def __init__(self, dataset: Dataset[Any], rows: Tensor | None, seed: int) -> None:
        self.dataset, self.rows, self.seed = dataset, rows, seed

    def __getitems__(self, index: list[int]) -> tuple[Tensor, Any]:
        asked = torch.tensor(index, dtype=torch.int64)
        rows: list[int] = index if self.rows is None else self.rows[asked].tolist()
        with _drawing_from(derive(self.seed, "rows", *rows)):
            read = getattr(self.dataset, "__getitems__", None)
            inputs = default_collate([self.dataset[row] for row in rows]) if read is None else read(rows)
        if read is not None and isinstance(inputs, list):  # torch's own convention: a list of samples, as `Subset` gives
            inputs = default_collate(inputs)
        return asked, inputs[0] if isinstance(inputs, list | tuple) else inputs


class _drawing_from:
    """Seeds the global streams of torch, numpy and random for a while, and puts them back."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        self.before = (torch.get_rng_state(), np.random.get_state(), random.getstate())
        torch.default_generator.manual_seed(self.seed)
        np.random.seed(self.seed % 2**32)
        random.seed(self.seed)

    def __exit__(self, *_: object) -> None:
        torch.set_rng_state(self.before[0])
        np.random.set_state(self.before[1])
        random.setstate(self.before[2])


def _as_is(batch: Any) -> Any:
    return batch


def _deliver(inputs: Any, device: torch.device) -> Any:
    if isinstance(inputs, Mapping):
        return {name: _deliver(values, device) for name, values in inputs.items()}
    if isinstance(inputs, list | tuple):
        return tuple(_deliver(values, device) for values in inputs)
    return inputs.to(device, non_blocking=True)
