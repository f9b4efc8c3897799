"""The currency of the package: what goes into a model, what it says, and what a weighting may see.

One row is one scored unit: an image, a table row, a node, a query, a point. A mixed example is two rows of one input
with shares lambda and 1 - lambda; an ignored unit has share 0. Targets are hard labels everywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

EMPTY: Mapping[str, Any] = MappingProxyType({})

IMPOSSIBLE = -1e6
"""Logit of a class that a row cannot be of (those of the other labels of an example): its probability is exactly 0, and what
losses make of it stays finite."""
LABEL_SETS = "label sets"
"""Where inputs that have several labels each carry them `[M, L]`, beside what the model is given."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Where training stands; passed to whoever needs the time, so nothing has a `set_epoch`.

    Attributes:
        step: optimiser steps done in this stage.
        epoch: epochs done in this stage (the current epoch's index, from 0).
        epochs: epochs in this stage.
        position: batches done in the current epoch.
        batches: batches in an epoch.
    """

    step: int = 0
    epoch: int = 0
    epochs: int = 1
    position: int = 0
    batches: int = 1

    @property
    def ends_epoch(self) -> bool:
        """Is this the last batch of the epoch?"""
        return self.position + 1 >= self.batches

    @property
    def fraction(self) -> float:
        """Share of the stage's epochs that are done, in [0, 1)."""
        return self.epoch / max(self.epochs, 1)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step is computed from.

    Attributes:
        inputs: a tensor `[M, ...]`, or a mapping of such tensors: whatever the task's forward understands.
        target: class of each row `[N]`, int64.
        index: position of each row in the training split `[N]`, int64.
        owner: which input each row belongs to `[N]`; None where row i is input i (M = N).
        share: how much each row counts `[N]`; None where each counts 1.
        extra: anything a loss asks for by name (a graph's neighbourhoods, a second view, ...).
    """

    inputs: Any
    target: Tensor
    index: Tensor
    owner: Tensor | None = None
    share: Tensor | None = None
    extra: Mapping[str, Any] = field(default_factory=lambda: EMPTY)

    def replace(self, **changes: Any) -> Batch:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Rows:
    """What a model says about a batch, one row per scored unit.

    Attributes:
        logits: `[N, C]`.
        target: `[N]` int64.
        features: the input of the classifier `[N, d]`, where the model has one.
        index: position in the training split `[N]`.
        share: `[N]`; None where each row counts 1.
        extra: handed to losses by name.
    """

    logits: Tensor
    target: Tensor
    features: Tensor | None = None
    index: Tensor | None = None
    share: Tensor | None = None
    extra: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a weighting may look at: detached float32 rows, their losses, and the time.

    In a hand-written loop build it with what the weighting needs: `Evidence(target=y, losses=per_row.detach())`.
    """

    target: Tensor
    logits: Tensor | None = None
    losses: Tensor | None = None
    features: Tensor | None = None
    index: Tensor | None = None
    share: Tensor | None = None
    clock: Clock = field(default_factory=Clock)


def seen(values: Tensor | None) -> Tensor | None:
    """A detached copy-free view in at least float32, for evidence."""
    if values is None:
        return None
    values = values.detach()
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
