"""Two small trained models and what their diagnosis finds, for tests of what is made of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

import steelyard as sy
from steelyard.core.task import Task
from steelyard.diagnosis import Judged, diagnose_models
from steelyard.diagnosis.curvature import Effort

COUNTS = (400, 120, 30)


def network() -> nn.Module:
    """Eight features between two linear layers."""
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def small_task(counts: tuple[int, ...] = COUNTS, names: tuple[str, ...] = ("a", "b", "c")) -> Task:
    """Gaussian classes along three axes of six; a third of the rows are test rows."""
    draw = np.random.default_rng(0)
    y = np.repeat(np.arange(len(counts)), counts)
    X = (draw.normal(size=(len(y), 6)) + 2.5 * np.eye(len(counts), 6)[y]).astype(np.float32)
    return sy.problems.load((X, np.array(names)[y]), task="arrays", model=network, test_fraction=0.33)


@cache
def fitted(method: str) -> sy.Fitted:
    """One of the models, trained for three epochs."""
    return sy.fit(small_task(), method=method, regime=sy.Regime(epochs=3, batch_size=32, lr=0.05))


@cache
def trained_facts(curved: bool = False) -> dict[str, Any]:
    """What `steelyard diagnose FOLDER` finds of two models, one of which weights its rows."""
    models = [Judged(name, fitted(name).model, fitted(name).history) for name in ("ce", "inverse-frequency")]
    with torch.random.fork_rng():
        found = diagnose_models(
            fitted("ce").task, models, curved=curved, effort=Effort(rows=64, steps=6, starts=1, probes=6), device="cpu"
        )
    return {"command": "steelyard diagnose runs/mine", "seed": 0, "regime": "short"} | found
