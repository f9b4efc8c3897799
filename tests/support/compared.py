"""A comparison's folder made in this process, and methods whose models are hard to make again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import steelyard as sy
from steelyard.bench.execute import Order, execute
from steelyard.bench.plan import Comparison
from steelyard.bench.records import write_json
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.facts import facts_of
from steelyard.problems import ProblemSettings, fingerprint, load


def compared(out: Path, data: str, methods: tuple[str, ...], *, seeds: tuple[int, ...] = (0,), **problem: Any) -> Path:
    """Train each method with each seed for two epochs, as `steelyard compare` would."""
    settings = ProblemSettings(**problem)
    regime = sy.Regime(epochs=2, batch_size=32, lr=0.05)
    plan = Comparison(data, methods, regime, "short", seeds, settings.to_json(), fingerprint(data, settings), device="cpu")
    for run in plan.runs():
        execute(Order(run, regime, plan.problem, plan.groups, "cpu", out / "runs" / run.id))
    facts = facts_of(load(data, settings), plan) | {"name": out.name, "command": "steelyard compare", "created": "today"}
    write_json(out / "comparison.json", facts | {"runs": [run.id for run in plan.runs()], "versions": {}})
    return out


class Scaled(nn.Module):
    """Scores times a number of each class that no state dict holds."""

    def __init__(self, model: nn.Module, scale: Tensor) -> None:
        super().__init__()
        self.model, self.scale = model, [scale]

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model(inputs) * self.scale[0]


def by_weights(task: TaskView) -> Steps:
    """Decide by a number that follows from the trained weights."""
    model = yield Stage()
    return Scaled(model, 1 + torch.stack([value.detach().abs().sum() for value in model.parameters()]).sum() % 7)


CALLS = [0]


def forgetful(task: TaskView) -> Steps:
    """Decide by a number that is another one every time."""
    CALLS[0] += 1
    scale = 6 * (CALLS[0] * 0.618034 % 1) - 3  # far from those of the calls before
    model = yield Stage()
    return Scaled(model, torch.tensor(scale))
