"""A tiny task for tests: Gaussian blobs, long-tailed, with a small network that has BatchNorm and dropout."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.stage import Stage, Steps
from steelyard.core.task import Task, TaskView


class Held:
    """Tensors in memory as a split."""

    def __init__(self, inputs: Tensor, target: Tensor) -> None:
        self.inputs, self.target = inputs, target

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: torch.device) -> Held:
        return self

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Any]]:
        for index in batches:
            yield index, self.inputs[index]


def network(width: int = 8, classes: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, classes))


class Blobs(Task):
    """Three classes of 60, 25 and 9 rows in four dimensions."""

    def __init__(
        self,
        counts: tuple[int, ...] = (60, 25, 9),
        build: Callable[[], nn.Module] | None = None,
        valid: bool = True,
        seed: int = 0,
    ) -> None:
        splits = {"train": blobs(counts, seed), "test": blobs((30,) * len(counts), seed + 1)}
        if valid:
            splits["valid"] = blobs((10,) * len(counts), seed + 2)
        super().__init__("blobs", [f"class {c}" for c in range(len(counts))], splits)
        self.build = (lambda: network(classes=len(counts))) if build is None else build

    def model(self) -> nn.Module:
        return self.build()


def blobs(counts: tuple[int, ...], seed: int) -> Held:
    stream = torch.Generator().manual_seed(seed)
    target = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    centres = torch.eye(len(counts), 4) * 2
    return Held(centres[target] + torch.randn(len(target), 4, generator=stream), target)


class Pooled(nn.Sequential):
    """A network for vectors that also takes images, by their mean."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mean((2, 3)) if x.ndim == 4 else x)


def pictures(task: Blobs) -> Blobs:
    """The same rows as images of one colour, 5 by 5, and the same network on their mean; the test split is left alone."""
    made = copy.copy(task)
    made.splits = dict(task.splits)
    for name in task.splits.keys() - {"test"}:
        held = task.splits[name]
        made.splits[name] = Held(held.inputs[:, :, None, None].expand(-1, -1, 5, 5), held.target)
    made.build = lambda: Pooled(task.build())
    return made


def ce(task: TaskView) -> Steps:
    """Plain cross-entropy."""
    yield Stage()


def two_stages(task: TaskView) -> Steps:
    """Two stages, the second shorter."""
    yield Stage()
    yield Stage(epochs=2)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Bit for bit, what is not a number too; also what parts keep beside tensors."""
    return same_state(one.state_dict(), other.state_dict())


def same_state(mine: Any, yours: Any) -> bool:
    if isinstance(mine, Tensor) and isinstance(yours, Tensor):
        return mine.shape == yours.shape and bool(((mine == yours) | ((mine != mine) & (yours != yours))).all())
    if isinstance(mine, dict) and isinstance(yours, dict):
        return mine.keys() == yours.keys() and all(same_state(mine[name], yours[name]) for name in mine)
    return bool(mine == yours)


def numbers(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A history without its clock times."""
    return [{name: value for name, value in line.items() if name != "seconds"} for line in history]
