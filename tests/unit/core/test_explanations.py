"""What a weighting has learnt: in the result, the same after a resume, and never in a logger's way."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import Blobs, ce, same_weights
from torch import Tensor

from steelyard.core.counts import group_classes
from steelyard.core.fit import fit
from steelyard.core.loggers import LOGGERS, Recorder, open_loggers
from steelyard.core.objective import Evaluation, Objective
from steelyard.core.oracle import Oracle
from steelyard.core.regime import Regime
from steelyard.core.roles import ROLES, Explains, Observes, explanations
from steelyard.core.rows import Batch, Evidence
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.core.weighting import Uniform, Weighting

REGIME = Regime(epochs=3, batch_size=16, lr=0.05)


class Learnt(Weighting, Observes, Explains):
    """A made-up weight net: two lines that depend on the losses seen."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.zeros(()))
        self.slope = torch.nn.Parameter(torch.zeros(()))

    def forward(self, evidence: Evidence) -> Tensor:
        return torch.sigmoid(self.slope * evidence.losses) * 2

    def observe(self, evidence: Evidence) -> None:
        self.largest = torch.maximum(self.largest, evidence.losses.max())
        with torch.no_grad():
            self.slope += 0.01 * evidence.losses.mean()

    def explain(self) -> dict[str, Any]:
        assert not torch.is_grad_enabled()
        grid = torch.linspace(0, 1, 5) * self.largest
        return {"loss": grid.tolist(), "weight": {"all": torch.sigmoid(self.slope * grid).mul(2).tolist()}}


class Around(Weighting):
    """A weighting with another inside."""

    def __init__(self, inner: Weighting) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, evidence: Evidence) -> Tensor:
        return self.inner(evidence)


class Measured(torch.nn.Module, Explains):
    """A descent that can tell something too."""

    def __init__(self, weighting: Weighting) -> None:
        super().__init__()
        self.weighting = weighting

    def forward(self, oracle: Oracle, batch: Batch) -> Evaluation:
        evaluation = oracle(batch)
        evaluation.loss.backward()
        return evaluation

    def explain(self) -> dict[str, Any]:
        return {"passes": 1}


def learnt(task: TaskView) -> Steps:
    """Learned weights."""
    yield Stage(Objective(weighting=Learnt()))


def first_learnt(task: TaskView) -> Steps:
    """Learned weights, then plain training."""
    yield Stage(Objective(weighting=Around(Learnt())))
    yield Stage(epochs=2)


def deepest(task: TaskView) -> Steps:
    """A weighting that two parts hold."""
    weighting = Learnt()
    yield Stage(Objective(weighting=Around(weighting)), descent=Measured(weighting))


class Stop(Exception):
    """Stands for whatever ends a process."""


class Bomb(Observes):
    def __init__(self, steps: int) -> None:
        self.left = steps

    def observe(self, evidence: Evidence) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stop


def test_what_was_learnt_is_in_the_result() -> None:
    found = fit(Blobs(), learnt, REGIME).explanations
    assert list(found) == ["objective.weighting"]
    curve = found["objective.weighting"]
    assert curve["loss"][0] == 0 < curve["loss"][-1]
    assert curve["weight"]["all"][0] == 1 < curve["weight"]["all"][-1]
    json.dumps(found, allow_nan=False)
    assert fit(Blobs(), ce, REGIME).explanations == {}


def test_the_last_stage_that_learnt_something_tells_it() -> None:
    assert list(fit(Blobs(), first_learnt, REGIME).explanations) == ["objective.weighting.inner"]


def test_a_part_that_two_others_hold_tells_once() -> None:
    found = fit(Blobs(), deepest, REGIME).explanations
    assert list(found) == ["objective.weighting.inner", "descent"]
    assert found["descent"] == {"passes": 1}
    assert explanations({"objective": Objective(weighting=Uniform())}) == {}


def test_explaining_is_no_role_of_the_loop() -> None:
    assert Explains not in ROLES


@pytest.mark.parametrize("method", [learnt, first_learnt])
def test_a_resumed_and_a_replayed_run_tell_the_same(tmp_path: Path, method: Any) -> None:
    whole = fit(Blobs(), method, REGIME)
    with pytest.raises(Stop):
        fit(Blobs(), method, REGIME, folder=tmp_path, listeners=[Bomb(8)], checkpoint_seconds=0.0)
    resumed = fit(Blobs(), method, REGIME, folder=tmp_path)
    # Every stage is finished now: nothing is trained, the parts are as their files say.
    replayed = fit(Blobs(), method, REGIME, folder=tmp_path, listeners=[Bomb(1)])
    assert whole.explanations == resumed.explanations == replayed.explanations != {}
    assert same_weights(whole.model, replayed.model)


def plain_then_learnt(task: TaskView) -> Steps:
    """Weights in the second stage only, so that their columns begin late."""
    yield Stage(epochs=1)
    yield Stage(Objective(weighting=Learnt()))


class Kept:
    """A logger that keeps what it hears."""

    def __init__(self) -> None:
        self.lines: list[dict[str, float]] = []

    def log_hyperparams(self, params: dict[str, Any]) -> None: ...

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.lines.append(metrics)

    def finalize(self, status: str) -> None: ...


def test_loggers_hear_mean_weights_of_the_groups_and_no_lists() -> None:
    task, bare, grouped = Blobs(), Kept(), Kept()
    groups = group_classes(task.counts)
    fitted = fit(task, plain_then_learnt, REGIME, listeners=[Recorder(bare), Recorder(grouped, groups=groups)])
    assert all(type(value) is float for line in (*bare.lines, *grouped.lines) for value in line.values())
    assert "weight_many" not in grouped.lines[0]
    assert not any("weight_many" in line for line in bare.lines)
    last, weights = grouped.lines[-1], fitted.history[-1]["class_weights"]
    assert [last["weight_many"], last["weight_medium"], last["weight_few"]] == pytest.approx(weights, abs=1e-6)


def test_a_group_without_rows_in_an_epoch_has_no_number() -> None:
    groups = group_classes([500, 300, 60, 5], "thresholds")
    assert groups.means(torch.tensor([1.0, torch.nan, 2.0, torch.nan])) == {"many": 1.0, "medium": 2.0}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what MLflow is built on
@pytest.mark.parametrize("name", ["csv", "tensorboard", "mlflow"])
def test_the_real_loggers_take_weights_that_begin_in_a_later_stage(tmp_path: Path, name: str) -> None:
    for needed in ("lightning", name) if name != "csv" else ("lightning",):
        pytest.importorskip(needed, reason="loggers are an extra: pip install 'steelyard[loggers]'")
    assert name in LOGGERS
    task = Blobs()
    (recorder,) = open_loggers([name], tmp_path, {"lr": 0.1}, group_classes(task.counts))
    fit(task, plain_then_learnt, REGIME, listeners=[recorder])
    recorder.close()
    if name == "csv":
        (written,) = tmp_path.rglob("metrics.csv")
        lines = list(csv.DictReader(written.read_text().splitlines()))
        assert [bool(line["weight_few"]) for line in lines] == [False, True, True, True]
