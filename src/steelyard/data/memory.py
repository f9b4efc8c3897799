"""Data that are in memory already: arrays, tensors, DataFrames and torch datasets."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.raw import SPLIT_NAMES, Part, Raw
from steelyard.data.tabular import part_of, tidy

LABEL_ATTRIBUTES = ("targets", "labels", "_labels", "y")
"""Where torch datasets keep their labels (torchvision: `targets`, `labels`, `_labels`)."""


def read_memory(data: Any, target: str | None = None) -> Raw:
    """Data in memory.

    Args:
        data: (X, y), a DataFrame, a torch Dataset, or a mapping from "train", "test" (and "valid") to one of these.
        target: column of classes of a DataFrame.

    Raises:
        ArgumentError: something else.
        DataError: X and y differ in length, or a dataset has no labels.

    Example:
        >>> raw = read_memory((np.zeros((4, 2)), ["a", "b", "a", "b"]))
        >>> raw.kind, len(raw.parts["train"])
        ('tables', 4)
    """
    if isinstance(data, Mapping):
        unknown = [str(name) for name in data if str(name).lower() not in SPLIT_NAMES]
        if unknown or not data:
            raise ArgumentError("data", "a mapping from 'train', 'valid' and 'test' to data", f"the keys {list(data)}")
        given = {SPLIT_NAMES[str(name).lower()]: part for name, part in data.items()}
        if "train" not in given:
            raise ArgumentError("data", "a mapping with 'train'", f"the keys {list(data)}")
    else:
        given = {"train": data}
    parts = {
        split: _part(value, target, "the data" if len(given) == 1 else f"the {split} data") for split, value in given.items()
    }
    kinds = {split: kind_of(part.inputs) for split, part in parts.items()}
    if len(set(kinds.values())) > 1:
        raise ArgumentError("data", "splits of one kind", ", ".join(f"{split}: {kind}" for split, kind in kinds.items()))
    return Raw("data", kinds["train"], parts, target=f"column '{target}'" if target is not None else "y")


def kind_of(inputs: Any) -> str:
    """The kind of inputs that a part may have."""
    if is_frame(inputs):
        return "tables"
    return "arrays" if isinstance(inputs, Dataset | Mapping) else kind_of_array(inputs)


def kind_of_array(inputs: Any) -> str:
    """What an array is: 2 dimensions are a table; bytes (uint8) with 3 or 4 are images; the rest stay as they are.

    Example:
        >>> kind_of_array(np.zeros((2, 28, 28), np.uint8)), kind_of_array(np.zeros((2, 5))), kind_of_array(np.zeros((2, 3, 9)))
        ('images', 'tables', 'arrays')
    """
    if inputs.ndim == 2:
        return "tables"
    return "images" if inputs.ndim in (3, 4) and str(inputs.dtype).removeprefix("torch.") == "uint8" else "arrays"


def is_frame(data: Any) -> bool:
    """Is it a pandas DataFrame? Does not import pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def check_array(values: np.ndarray | Tensor, what: str) -> None:
    """Refuse arrays that no model can take.

    Raises:
        DataError: not numbers, complex, NaN, or infinite.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind not in "biuf":
        raise DataError(f"{what} should hold numbers; found dtype {values.dtype}")
    tensor = torch.as_tensor(values)
    if tensor.is_complex():
        raise DataError(f"{what} should hold real numbers; found dtype {tensor.dtype}")
    if tensor.is_floating_point():
        finite = torch.isfinite(tensor)
        if not bool(finite.all()):
            missing = int(torch.isnan(tensor).sum())
            infinite = int((~finite).sum()) - missing
            raise DataError(f"{what} has {missing} missing (NaN) and {infinite} infinite values: replace or remove them")


def _part(data: Any, target: str | None, where: str) -> Part:
    if is_frame(data):
        return part_of(tidy(data, where), target, where)
    if isinstance(data, TensorDataset):
        data = data.tensors
    if isinstance(data, Dataset):
        return Part(data, dataset_labels(data))
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ArgumentError(
            "data",
            "the name of a built-in data set, a path, (X, y), a pandas DataFrame with a target column, a torch Dataset, or a "
            "mapping from 'train', 'valid' and 'test' to one of these",
            type(data).__name__ + (f" of length {len(data)}" if isinstance(data, Sequence) else ""),
        )
    inputs, labels = data
    labels = as_labels(labels)
    if is_frame(inputs):
        inputs = tidy(inputs, where)
    elif not isinstance(inputs, Mapping | Dataset):
        inputs = as_array(inputs)
    same_length(inputs, labels, where)
    return Part(inputs, labels)


def as_array(inputs: Any) -> np.ndarray | Tensor:
    """Inputs as an array or tensor of at least two dimensions.

    Raises:
        ArgumentError: it has fewer.
    """
    if isinstance(inputs, Tensor):
        values: np.ndarray | Tensor = inputs.detach()
    else:
        try:
            values = np.asarray(inputs)
        except ValueError:
            raise ArgumentError("X", "rows of equal length", "rows of different lengths") from None
    if values.ndim < 2:
        raise ArgumentError("X", "an array [N, ...] of two dimensions or more", f"shape {list(values.shape)}")
    return values if isinstance(values, Tensor) else native(values)


def native(values: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order, which is all that torch takes."""
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def same_length(inputs: Any, labels: np.ndarray, where: str) -> None:
    """Refuse X and y of different lengths.

    Raises:
        DataError: says both.
    """
    rows = len(next(iter(inputs.values()))) if isinstance(inputs, Mapping) else len(inputs)
    if rows != len(labels):
        raise DataError(f"X has {rows} rows and y has {len(labels)} in {where}: they should be as many")


def as_labels(labels: Any) -> np.ndarray:
    """Labels as an array `[N]`.

    Raises:
        ArgumentError: they have more dimensions (one-hot, say).
    """
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu()
    values = np.asarray(labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ArgumentError("y", "one label a row [N] (for one-hot labels give y.argmax(1))", f"shape {list(values.shape)}")
    return values


def dataset_labels(dataset: Dataset[Any]) -> np.ndarray:
    """Labels of a map-style dataset: from an attribute where it has one, else by reading every row once.

    Raises:
        DataError: it has no length, or its rows no label.
    """
    given: object = dataset
    if isinstance(given, IterableDataset) or not isinstance(given, Sized):
        raise DataError(
            "a torch dataset must have a length and rows by number (map-style), as classes are counted and re-sampled"
        )
    if isinstance(dataset, Subset):
        labels: np.ndarray = dataset_labels(dataset.dataset)[np.asarray(dataset.indices)]
        return labels
    if isinstance(dataset, TensorDataset):
        return as_labels(dataset.tensors[1])
    for name in LABEL_ATTRIBUTES:
        held = getattr(dataset, name, None)
        if held is not None and not callable(held) and len(held) == len(given):
            return as_labels(held)
    read = []
    for row in range(len(given)):
        item = dataset[row]
        if not isinstance(item, tuple | list) or len(item) < 2:
            raise DataError(
                "the rows of a torch dataset should be (input, label), or it should have its labels as an attribute `targets`; "
                f"found {type(item).__name__}"
            )
        read.append(item[1].item() if isinstance(item[1], Tensor) else item[1])
    return np.asarray(read)
