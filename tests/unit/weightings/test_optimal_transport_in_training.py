"""Optimal-transport weights in the loop: resume, several processes, mixed batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ending import Bomb, Interrupt
from tiny import Blobs, numbers, same_weights
from torch import nn

from steelyard.core.fit import fit
from steelyard.core.objective import Objective
from steelyard.core.pool import RowPool
from steelyard.core.regime import Regime
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.core.world import World, launch
from steelyard.settings import resolve_method
from steelyard.transforms import Mixup
from steelyard.weightings import OptimalTransport

REGIME = Regime(epochs=3, batch_size=16, lr=0.05)


@pytest.mark.parametrize("method", ["ot", "ot(method=closed_form)", "ot(method=released,meta_loss=0.6)", "ot(points=whole)"])
def test_resuming_ends_with_the_same_bits(tmp_path: Path, method: str):
    whole = fit(Blobs(), resolve_method(method), REGIME)
    for steps in (2, 4, 3):
        with pytest.raises(Interrupt):
            fit(Blobs(), resolve_method(method), REGIME, folder=tmp_path, listeners=[Bomb(steps)], checkpoint_seconds=0.0)
    resumed = fit(Blobs(), resolve_method(method), REGIME, folder=tmp_path)
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)


def without_statistics() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def table_of(method: str, build: Callable[[], nn.Module] | None) -> torch.Tensor:
    held = []

    def program(view: TaskView) -> Steps:
        weighting = OptimalTransport(view.counts, RowPool(view.reserve(4)[1]), method=method)
        held.append(weighting)
        yield Stage(Objective(weighting=weighting))

    fit(Blobs(counts=(62, 25, 9), build=build), program, REGIME, device="cpu")
    return held[0].shift


def tables() -> list[list[torch.Tensor]]:
    """Of each process."""
    mine = [table_of("sinkhorn", without_statistics), table_of("closed_form", without_statistics), table_of("sinkhorn", None)]
    return World.current().gather(mine)


@pytest.mark.multiprocess
def test_two_processes_hold_the_table_of_one():
    """And the same, to the bit, also where each has BatchNorm statistics of its own."""
    (alone,) = tables()
    first, second = launch(tables, 2)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    for together, one in zip(first[:2], alone, strict=False):
        torch.testing.assert_close(together, one, rtol=1e-3, atol=1e-3)


def test_mixed_batches_work():
    task = Blobs()

    def mixed(view: TaskView) -> Steps:
        weighting = OptimalTransport(view.counts, RowPool(view.reserve(3)[1]))
        yield Stage(Objective(weighting=weighting), transform=Mixup(1.0))

    fitted = fit(task, mixed, Regime(epochs=2, batch_size=16))
    assert all(torch.isfinite(value).all() for value in fitted.model.state_dict().values())
