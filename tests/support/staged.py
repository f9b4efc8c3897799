"""What tests of methods with several stages share: tasks with the nets of the package, an interruption, a look at the steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ending import Bomb, Interrupt
from tiny import Blobs
from torch import Tensor, nn

from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.roles import Observes, Prepares
from steelyard.core.rows import Evidence
from steelyard.core.stage import Method
from steelyard.core.task import Task
from steelyard.data import ResidentSource
from steelyard.nets import MLP, ResNet32, SmallCNN
from steelyard.nets.heads import with_head

REGIME = Regime(epochs=4, batch_size=16, lr=0.05)


def interrupted(task: Task, method: Method, folder: Path, steps: int, regime: Regime = REGIME) -> None:
    """Train for some steps, and die."""
    with pytest.raises(Interrupt):
        fit(task, method, regime, folder=folder, listeners=[Bomb(steps)], checkpoint_seconds=0.0, device="cpu")


class Starts(Prepares):
    """Keeps the model's state before the first step of each stage."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []
        self.modes: list[dict[str, bool]] = []
        self._step = -1

    def prepare(self, oracle: Any, batch: Any) -> None:
        if oracle.clock.step <= self._step or self._step < 0:
            self.states.append({name: value.detach().clone() for name, value in oracle.model.state_dict().items()})
        self._step = oracle.clock.step
        self.modes.append({name: module.training for name, module in oracle.model.named_modules()})


class Drawn(Observes):
    """Writes down the rows of each epoch; a stage after the first goes on counting."""

    def __init__(self) -> None:
        self.epochs: list[list[int]] = []
        self._last = (-1, -1)

    def observe(self, evidence: Evidence) -> None:
        now = (evidence.clock.epoch, evidence.clock.position)
        if now[0] != self._last[0] or now[1] <= self._last[1]:
            self.epochs.append([])
        self._last = now
        self.epochs[-1].extend(evidence.index.tolist())


def images(build: Callable[[], nn.Module]) -> Task:
    """Pictures of 8x8 whose mean tells the class."""
    return _made(Blobs(build=build), lambda x: x.repeat_interleave(16, 1).reshape(-1, 1, 8, 8))


def table() -> Task:
    """Four numeric columns and a category; the model has embeddings and BatchNorm."""
    build = lambda: MLP(3, numeric=4, cardinalities=[3], hidden=(8,), dropout=0.1, norm="batch")  # noqa: E731
    return _made(Blobs(build=build), lambda x: {"numeric": x, "categorical": (x[:, :1] > 0).long() + 1})


def _made(task: Blobs, change: Callable[[Tensor], Any]) -> Task:
    task.splits = {name: ResidentSource(change(rows.inputs), rows.target) for name, rows in task.splits.items()}  # type: ignore[attr-defined]
    return task


def small_cnn() -> Task:
    return images(lambda: SmallCNN(3, 1, width=4, dropout=0.1))


def resnet32() -> Task:
    return images(lambda: ResNet32(3, 1))


def cosine_cnn() -> Task:
    """Ends in a classifier that is no `nn.Linear`."""
    from steelyard.nets import NormedLinear

    return images(lambda: with_head(SmallCNN(3, 1, width=4), NormedLinear(16, 3)))


def headless() -> Task:
    """A model without any linear layer."""
    return images(lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def is_statistic(name: str) -> bool:
    """A buffer of BatchNorm."""
    return name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")


def state_without(model: nn.Module, *unwanted: str) -> dict[str, Tensor]:
    """A copy of a state, without the names that begin in a certain way."""
    return {name: value.clone() for name, value in model.state_dict().items() if not name.startswith(unwanted)}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
