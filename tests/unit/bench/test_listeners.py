from __future__ import annotations

import json
from pathlib import Path

import pytest
from ending import Bomb
from tiny import Blobs, numbers, two_stages

from steelyard.bench.listeners import Heartbeat, Log, read_beat, read_log
from steelyard.core.counts import group_classes
from steelyard.core.fit import fit
from steelyard.core.objective import Objective
from steelyard.core.regime import Regime
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.weightings import InverseFrequency

REGIME = Regime(epochs=3, batch_size=16, lr=0.05)


def test_the_log_of_an_interrupted_run_is_that_of_a_whole_one(tmp_path: Path) -> None:
    whole = fit(Blobs(), two_stages, REGIME)
    for steps in (10, 9, 5):
        with pytest.raises(KeyboardInterrupt):
            fit(
                Blobs(),
                two_stages,
                REGIME,
                folder=tmp_path,
                listeners=[Log(tmp_path / "log.jsonl"), Bomb(steps, KeyboardInterrupt)],
                checkpoint_seconds=0.0,
            )
    fit(Blobs(), two_stages, REGIME, folder=tmp_path, listeners=[Log(tmp_path / "log.jsonl")])
    assert numbers(read_log(tmp_path / "log.jsonl")) == numbers(whole.history)


def weighted(task: TaskView) -> Steps:
    """Plain, then weighted by class."""
    yield Stage(epochs=1)
    yield Stage(Objective(weighting=InverseFrequency(task.counts)), epochs=1)


def test_a_log_has_the_mean_weights_of_the_groups_where_rows_are_weighted(tmp_path: Path) -> None:
    task = Blobs()
    fit(task, weighted, REGIME, listeners=[Log(tmp_path / "log.jsonl", group_classes(task.counts))])
    plain, line = read_log(tmp_path / "log.jsonl")
    assert plain["group_weights"] is None
    # A class each: thirds of three classes.
    assert list(line["group_weights"].values()) == pytest.approx(line["class_weights"], abs=1e-6)
    assert line["group_weights"]["few"] > line["group_weights"]["many"]


def test_a_log_with_a_broken_last_line_is_read_up_to_there(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"stage": 0, "epoch": 1}\n{"stage": 0, "ep')
    assert read_log(tmp_path / "log.jsonl") == [{"stage": 0, "epoch": 1}]
    assert read_log(tmp_path / "none.jsonl") == []


def test_the_heart_beats_and_a_broken_beat_is_no_beat(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    fit(Blobs(), two_stages, REGIME, listeners=[Heartbeat(path)])
    beat = read_beat(path)
    assert beat is not None
    assert 0 <= beat["fraction"] <= 1
    assert beat["epochs"] in (2, 3)
    path.write_text(json.dumps(beat)[:5])
    assert read_beat(path) is None
    assert read_beat(tmp_path / "none.json") is None


def test_a_heart_that_cannot_beat_does_not_stop_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    fit(Blobs(), two_stages, REGIME, listeners=[Heartbeat(tmp_path / "file" / "progress.json")])
