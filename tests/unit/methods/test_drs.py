"""The live sampler really switches, in the middle of training, however the rows are read and wherever a run goes on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from staged import Drawn, interrupted
from tiny import Blobs, same_weights
from torch.utils.data import DataLoader, Dataset

from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.rows import Clock
from steelyard.core.task import Task
from steelyard.data.streamed import ArrayRows, StreamedSource
from steelyard.methods.balanced_sampling import balanced_sampling
from steelyard.methods.ce import ce
from steelyard.methods.drs import drs
from steelyard.samplers import Batched, DeferredSampler

COUNTS = (200, 40, 10)
ROWS = sum(COUNTS)
REGIME = Regime(epochs=5, batch_size=50, lr=0.05)
SWITCH = 4  # 0.8 of five epochs


def task(workers: int | None = None) -> Task:
    made = Blobs(counts=COUNTS)
    if workers is not None:
        rows = made.splits["train"]
        made.splits["train"] = StreamedSource(ArrayRows(rows.inputs.numpy()), rows.target, workers=workers)  # type: ignore[attr-defined]
    return made


def drawn(method: object = drs, workers: int | None = None, regime: Regime = REGIME) -> list[list[int]]:
    seen = Drawn()
    fit(task(workers), method, regime, listeners=[seen], device="cpu")
    return seen.epochs


def shares(rows: list[int]) -> np.ndarray:
    """Of the classes among the rows drawn."""
    target = np.repeat(np.arange(3), COUNTS)
    return np.bincount(target[rows], minlength=3) / len(rows)


@pytest.mark.parametrize("workers", [None, 0, 2])
def test_every_row_once_before_the_switch_and_every_class_equally_often_behind_it(workers: int | None) -> None:
    epochs = drawn(workers=workers)
    assert [len(rows) for rows in epochs] == [ROWS] * 5
    for rows in epochs[:SWITCH]:
        assert sorted(rows) == list(range(ROWS))
    assert np.abs(shares(epochs[SWITCH]) - 1 / 3).max() < 0.1
    assert len(set(epochs[SWITCH])) < ROWS


def test_the_rows_are_those_of_the_two_samplers() -> None:
    epochs = drawn()
    assert epochs[:SWITCH] == drawn(ce)[:SWITCH]
    assert epochs[SWITCH:] == drawn(balanced_sampling)[SWITCH:]


@pytest.mark.parametrize(("epochs", "after", "switch"), [(10, 0.8, 8), (10, 0.5, 5), (3, 0.8, 3), (4, 0.0, 0)])
def test_the_switch_is_where_it_should_be(epochs: int, after: float, switch: int) -> None:
    orders = drawn(partial(drs, after=after), regime=REGIME.replace(epochs=epochs))
    natural = [sorted(rows) == list(range(ROWS)) for rows in orders]
    assert natural == [epoch < switch for epoch in range(epochs)]


@pytest.mark.parametrize("workers", [None, 2])
@pytest.mark.parametrize("steps", [SWITCH * 5 - 2, SWITCH * 5, SWITCH * 5 + 2], ids=["before", "at", "behind"])
def test_a_resumed_run_switches_as_if_it_had_not_stopped(tmp_path: Path, steps: int, workers: int | None) -> None:
    """Interrupted just before, at and just behind the switch."""
    whole, later = Drawn(), Drawn()
    uninterrupted = fit(task(workers), drs, REGIME, listeners=[whole], device="cpu")
    interrupted(task(workers), drs, tmp_path, steps, REGIME)
    resumed = fit(task(workers), drs, REGIME, listeners=[later], folder=tmp_path, device="cpu")
    together = [row for rows in whole.epochs for row in rows]
    after = [row for rows in later.epochs for row in rows]
    assert 0 < len(after) <= 50 * 8
    assert together[-len(after) :] == after
    assert same_weights(uninterrupted.model, resumed.model)


class Rows(Dataset[torch.Tensor]):
    """Row i holds i."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.as_tensor(row)


@pytest.mark.multiprocess
def test_in_a_hand_written_loop_persistent_workers_see_the_switch() -> None:
    """Workers that live through all epochs are sent indices by the sampler in this process: no copy of it grows stale."""
    target = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
    sampler = DeferredSampler(target, after=0.8, epochs=5)
    loader = DataLoader(Rows(), batch_sampler=Batched(sampler, 50), num_workers=2, persistent_workers=True)
    epochs = [torch.cat(list(loader)).tolist() for _ in range(5)]
    expected = [torch.cat(list(sampler.batches(50, Clock(epoch=epoch, epochs=5)))).tolist() for epoch in range(5)]
    assert epochs == expected
    assert [sorted(rows) == list(range(ROWS)) for rows in epochs] == [True] * SWITCH + [False]
