from __future__ import annotations

import atexit
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from ending import Bomb
from tiny import Blobs, ce, numbers, same_weights
from torch import Tensor, nn

import steelyard.core.train as loop
from steelyard.core.errors import ArgumentError, TrainingError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.world import World, launch, local_device

REGIME = Regime(epochs=3, batch_size=16, lr=0.05)


def plain_network() -> nn.Module:
    """Without BatchNorm and dropout, which see only their own process' rows."""
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def train(folder: str | None) -> dict[str, torch.Tensor]:
    task = Blobs(counts=(62, 25, 9), build=plain_network)
    return dict(fit(task, ce, REGIME, device="cpu", folder=folder, checkpoint_seconds=0.0).model.state_dict())


def refuse() -> None:
    raise ArgumentError("rank", "somewhere else", World.current().rank)


def refuse_while_the_other_waits() -> None:
    if World.current().rank == 1:
        refuse()
    while True:  # until the connection goes, which is what process 0 would have to say
        World.current().gather(1)


def die() -> None:
    import os

    if World.current().rank == 1:
        os._exit(7)
    World.current().gather(1)


def abort_at_the_end() -> float:
    if World.current().rank == 1:  # as a thread of gloo's does that outlives its process group
        atexit.register(os.abort)
    return World.current().mean(2.0)


def mass_weighted() -> torch.Tensor:
    world = World.current()
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.full((2,), float(world.rank + 1))
    world.average_gradients([parameter], mass=3 if world.rank else 1)
    return parameter.grad


def massless() -> list[Tensor | None]:
    found = list[Tensor | None]()
    world = World.current()
    for masses in ((0.0, 2.0), (0.0, 0.0)):
        parameter = nn.Parameter(torch.zeros(2))
        parameter.grad = torch.full((2,), 3.0 * world.rank)
        world.average_gradients([parameter], mass=torch.tensor(masses[world.rank]))
        found.append(parameter.grad)
    return found


@pytest.mark.multiprocess
def test_two_processes_make_the_steps_of_one(tmp_path: Path) -> None:
    alone = train(None)
    together = launch(train, 2, str(tmp_path))
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-4, atol=1e-5)
    again = launch(train, 2, str(tmp_path))
    assert all(torch.equal(again[name], value) for name, value in together.items())


def train_with_statistics(folder: str | None, steps: int) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]] | None:
    """With BatchNorm; ended after some steps where there are any."""
    listeners = [Bomb(steps, KeyboardInterrupt)] if steps else []
    loop.AGREE_EVERY = 1
    try:
        fitted = fit(
            Blobs(counts=(62, 25, 9)),
            ce,
            REGIME.replace(ema=0.9),
            device="cpu",
            folder=folder,
            listeners=listeners,
            checkpoint_seconds=0.0,
        )
    except KeyboardInterrupt:
        return None
    return dict(fitted.model.state_dict()), numbers(fitted.history)


@pytest.mark.multiprocess
def test_two_processes_resume_in_the_middle_of_an_epoch_with_the_same_bits(tmp_path: Path) -> None:
    """Each process has its own BatchNorm statistics until the epoch ends."""
    whole = launch(train_with_statistics, 2, None, 0)
    assert launch(train_with_statistics, 2, str(tmp_path), 9) is None
    assert list(tmp_path.glob("step-*8.pt"))
    weights, lines = launch(train_with_statistics, 2, str(tmp_path), 0)
    assert lines == whole[1]
    assert all(torch.equal(weights[name], value) for name, value in whole[0].items())


@pytest.mark.multiprocess
def test_gradients_are_averaged_by_the_rows_behind_them() -> None:
    torch.testing.assert_close(launch(mass_weighted, 2), torch.full((2,), (1 * 1 + 2 * 3) / 4))


@pytest.mark.multiprocess
def test_a_process_whose_rows_are_all_ignored_does_not_count() -> None:
    assert [gradient.tolist() for gradient in launch(massless, 2)] == [[3.0, 3.0], [0.0, 0.0]]


@pytest.mark.multiprocess
def test_errors_come_back_as_they_were_raised() -> None:
    with pytest.raises(ArgumentError, match="somewhere else"):
        launch(refuse, 2)


@pytest.mark.multiprocess
def test_the_error_of_one_is_heard_over_the_others_lost_connection() -> None:
    with pytest.raises(ArgumentError, match="somewhere else"):
        launch(refuse_while_the_other_waits, 2)


@pytest.mark.multiprocess
def test_a_dead_process_is_named() -> None:
    with pytest.raises(TrainingError, match=r"process . of 2"):
        launch(die, 2)


@pytest.mark.multiprocess
def test_a_process_that_dies_after_its_work_spoils_nothing() -> None:
    assert launch(abort_at_the_end, 2) == 2.0


def test_one_process_is_run_here() -> None:
    assert same_weights(fit(Blobs(), ce, REGIME).model, launch(fit, 1, Blobs(), ce, REGIME).model)
    with pytest.raises(ArgumentError, match="processes"):
        launch(train, 0)


def test_a_batch_must_divide_among_the_processes() -> None:
    assert World(0, 4).local_batch(128) == 32
    with pytest.raises(ArgumentError, match="multiple of the 3 processes"):
        World(0, 3).local_batch(128)


def test_devices_by_name() -> None:
    assert local_device("cpu") == torch.device("cpu")
    with pytest.raises(ArgumentError, match="device"):
        local_device("gpuu")
