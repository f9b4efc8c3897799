"""What a reader hands on: inputs and labels as found, before anything is split, encoded or left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from steelyard.data.kinds import Column

Frame: TypeAlias = Any
"""A pandas.DataFrame; pandas is only imported by the functions that need it."""

KINDS = ("images", "tables", "arrays")
SPLITS = ("train", "valid", "test")

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "test": "test",
    "testing": "test",
}
"""How files and folders of a split may be called."""


@dataclass(frozen=True)
class Part:
    """Some rows with their labels.

    Attributes:
        inputs: a DataFrame ("tables"), an `EncodedImages` or uint8 array `[N, C, H, W]` ("images"), or a tensor, array,
            mapping of tensors or torch Dataset ("arrays").
        labels: as the user knows them `[N]`: numbers or strings, not yet 0..C-1.
    """

    inputs: Any
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Raw:
    """Data as read.

    Attributes:
        name: shown in tables.
        kind: "images", "tables" or "arrays".
        parts: "train", and "valid" and "test" where the data came with such a split.
        class_names: where the data say what label 0, 1, ... is called; labels are then whole numbers 0..C-1 or these names.
        target: what the labels are called in messages.
        notes: what a reader left out or decided, a sentence each.
        columns: of a table file: how each column is written there and what it holds, for reading further files alike.
    """

    name: str
    kind: str
    parts: Mapping[str, Part]
    class_names: tuple[str, ...] | None = None
    target: str = "target"
    notes: tuple[str, ...] = field(default=())
    columns: Mapping[str, Column] = field(default_factory=dict)
