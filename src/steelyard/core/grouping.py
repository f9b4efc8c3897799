"""Rows sorted by class, once and in bounded memory, so that whoever needs the rows of a class has them as a slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError

LabelsLike: TypeAlias = "Tensor | np.ndarray | Sequence[int]"

# Rows that are sorted at a time: what bounds the memory beside the result (about 100 MB).
BLOCK = 1 << 22
# A label above this is an identifier rather than a class index; a table over classes would not fit into memory.
MOST_CLASSES = 1 << 24


def as_labels(targets: LabelsLike, argument: str = "targets") -> Tensor:
    """Check class labels and return them as an integer tensor `[N]` on the CPU, in their own type where torch can count it.

    Raises:
        ArgumentError: not one-dimensional, empty, not integers, negative, or far from 0..C-1.

    Example:
        >>> as_labels([0, 2, 1])
        tensor([0, 2, 1])
    """
    labels = targets.detach().cpu() if isinstance(targets, Tensor) else _from_array(np.asarray(targets), argument)
    if labels.ndim != 1 or labels.numel() == 0:
        raise ArgumentError(argument, "a non-empty one-dimensional list of class labels [N]", f"shape {tuple(labels.shape)}")
    if labels.is_floating_point() or labels.is_complex():
        raise ArgumentError(argument, "integer class labels 0..C-1", f"values of type {labels.dtype}")
    if labels.dtype not in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64):
        labels = labels.to(torch.uint8 if labels.dtype == torch.bool else torch.int64)
    low, high = (int(value) for value in labels.aminmax())
    if low < 0 or high >= MOST_CLASSES:
        found = f"label {low if low < 0 else high}"
        raise ArgumentError(argument, f"class labels 0..C-1 with C at most {MOST_CLASSES}; number the classes first", found)
    return labels


def _from_array(array: np.ndarray, argument: str) -> Tensor:
    if array.dtype.kind not in "iufb":
        raise ArgumentError(argument, "integer class labels 0..C-1; number the classes first", f"values of type {array.dtype}")
    return torch.as_tensor(array)


@dataclass(frozen=True)
class RowsByClass:
    """Row indices sorted by class, and within a class in their original order.

    Attributes:
        order: row indices `[N]`; int32 where N < 2^31, which halves the memory, else int64.
        offsets: where the rows of a class begin in `order` `[C + 1]`, int64.
    """

    order: Tensor
    offsets: Tensor

    @property
    def counts(self) -> Tensor:
        """Rows of each class `[C]`, int64."""
        return self.offsets.diff()

    def rows(self, label: int) -> Tensor:
        """The rows of one class, ascending, as a LongTensor."""
        return self.order[int(self.offsets[label]) : int(self.offsets[label + 1])].to(torch.int64)


def group_rows(labels: Tensor, num_classes: int | None = None) -> RowsByClass:
    """Sort rows by class in O(N): a counting sort over blocks, so that memory beside the result does not grow with N.

    Args:
        labels: class of each row `[N]`, as returned by `as_labels`.
        num_classes: C; None for the largest label plus one.

    Example:
        >>> group_rows(torch.tensor([1, 0, 1])).rows(1)
        tensor([0, 2])
    """
    classes = int(labels.max()) + 1 if num_classes is None else num_classes
    counts = torch.zeros(classes, dtype=torch.int64)
    for block in torch.split(labels, BLOCK):
        counts += torch.bincount(block, minlength=classes)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    order = torch.empty(len(labels), dtype=torch.int32 if len(labels) < 2**31 else torch.int64)
    # The narrower the key, the fewer passes of the radix sort.
    key = torch.uint8 if classes <= 2**8 else torch.int16 if classes <= 2**15 else torch.int32
    following = offsets[:-1].clone()  # where the next row of each class goes
    for first in range(0, len(labels), BLOCK):
        ranked = torch.sort(labels[first : first + BLOCK].to(key), stable=True)
        label = ranked.values.to(torch.int64)
        here = torch.bincount(label, minlength=classes)
        # The i-th row of the sorted block is the (i - rows of smaller classes in the block)-th of its class.
        place = (following - (here.cumsum(0) - here)).index_select(0, label)
        place += torch.arange(len(label))
        order[place] = (ranked.indices + first).to(order.dtype)
        following += here
    return RowsByClass(order, offsets)
