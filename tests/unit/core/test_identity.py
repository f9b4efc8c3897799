"""Checkpoints of other data, another model or an edited method are never taken for a run's own."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny import Blobs, Held, ce
from torch import nn

from steelyard.core.errors import CheckpointError
from steelyard.core.fit import fit
from steelyard.core.identity import ResumedElsewhereWarning, code_of, structure_of
from steelyard.core.regime import Regime
from steelyard.core.roles import Observes
from steelyard.core.rows import Evidence
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView

REGIME = Regime(epochs=2, batch_size=32, lr=0.05)


class Stop(Observes):
    """Ends training at its third step."""

    def __init__(self) -> None:
        self.left = 3

    def observe(self, evidence: Evidence) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_other_data_of_the_same_name_and_sizes_are_another_run(tmp_path: Path) -> None:
    fit(Blobs(seed=0), ce, REGIME, folder=tmp_path)
    with pytest.raises(CheckpointError, match="another run"):
        fit(Blobs(seed=5), ce, REGIME, folder=tmp_path)


def test_relabelled_rows_are_another_run(tmp_path: Path) -> None:
    fit(Blobs(), ce, REGIME, folder=tmp_path)
    task = Blobs()
    rows = task.splits["train"]
    task.splits["train"] = Held(rows.inputs, rows.target.roll(1))
    with pytest.raises(CheckpointError, match="another run"):
        fit(task, ce, REGIME, folder=tmp_path)


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("last", [nn.Linear(6, 3, bias=False), nn.Sequential(nn.Tanh(), nn.Linear(6, 3))])
def test_another_model_is_another_run(tmp_path: Path, finished: bool, last: nn.Module) -> None:
    first = Blobs(build=lambda: nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)))
    if finished:
        fit(first, ce, REGIME, folder=tmp_path)
    else:
        with pytest.raises(KeyboardInterrupt):
            fit(first, ce, REGIME, folder=tmp_path, listeners=[Stop()], checkpoint_seconds=0.0)
    with pytest.raises(CheckpointError, match="other layers"):
        fit(Blobs(build=lambda: nn.Sequential(nn.Linear(4, 6), last)), ce, REGIME, folder=tmp_path)


def test_a_structure_is_layers_and_shapes_and_not_values() -> None:
    assert structure_of(nn.Linear(4, 3)) == structure_of(nn.Linear(4, 3))
    assert structure_of(nn.Linear(4, 3)) != structure_of(nn.Linear(3, 4))
    assert structure_of(nn.Dropout(0.1)) != structure_of(nn.Dropout(0.2))


def own(code: str) -> Callable[[TaskView], Steps]:
    """A function as a notebook defines it."""
    names = {"__name__": "__main__", "Stage": Stage}
    exec(code, names)
    return names["mine"]  # type: ignore[return-value]


def test_an_edited_method_is_another_run(tmp_path: Path) -> None:
    fit(Blobs(), own("def mine(task):\n    yield Stage()"), REGIME, folder=tmp_path)
    fit(Blobs(), own("def mine(task):\n    # a comment\n    yield Stage()"), REGIME, folder=tmp_path, listeners=[Stop()])
    with pytest.raises(CheckpointError, match="another run"):
        fit(Blobs(), own("def mine(task):\n    yield Stage(epochs=1)"), REGIME, folder=tmp_path)


def test_code_is_constants_defaults_and_nested_functions_but_not_steelyard_s() -> None:
    versions = [
        "def mine(task, k=1):\n    yield k",
        "def mine(task, k=2):\n    yield k",
        "def mine(task, *, k=1):\n    yield k",
        "def mine(task, k=1):\n    yield k + 3",
        "def mine(task, k=1):\n    yield k + 4",
        "def mine(task, k=1):\n    yield (lambda: k + 1)()",
        "def mine(task, k=1):\n    yield (lambda: k + 2)()",
    ]
    assert len({code_of(own(text)) for text in versions}) == len(versions)
    assert code_of(partial(own(versions[0]))) == code_of(own(versions[0])) != ""
    from steelyard.methods.la import la

    assert code_of(la) == ""


def test_code_is_the_same_in_every_process(tmp_path: Path) -> None:
    """Sets of texts are ordered anew in each process, and objects lie elsewhere."""
    (tmp_path / "own.py").write_text(
        "def mine(task, f=print):\n    yield task.name in {'a', 'b', 'c', 'd'}, lambda: {'x', 'y', 'z'}\n"
    )
    script = "import own; from steelyard.core.identity import code_of; print(code_of(own.mine))"
    told = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
    assert len(told.pop().strip()) == 64


def test_other_threads_are_told_of_and_the_same_are_not(tmp_path: Path) -> None:
    def begun(folder: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            fit(Blobs(), ce, REGIME, folder=folder, listeners=[Stop()], checkpoint_seconds=0.0)

    threads = torch.get_num_threads()
    begun(tmp_path / "same")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(Blobs(), ce, REGIME, folder=tmp_path / "same")
    begun(tmp_path / "other")
    torch.set_num_threads(threads + 1)
    try:
        with pytest.warns(ResumedElsewhereWarning, match=f"threads {threads} before and {threads + 1} now"):
            fit(Blobs(), ce, REGIME, folder=tmp_path / "other")
    finally:
        torch.set_num_threads(threads)
