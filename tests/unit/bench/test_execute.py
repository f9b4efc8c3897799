from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from steelyard.bench.execute import Order, execute, typical_step
from steelyard.bench.records import Run
from steelyard.core.errors import SteelyardError
from steelyard.core.regime import Regime

PROBLEM = {"factor": 20.0}


def order(folder: Path, method: str = "la", **changes: object) -> Order:
    settings = {
        "run": Run("digits", method, "quick", 0, {}),
        "regime": Regime(epochs=2, lr=0.05),
        "problem": PROBLEM,
        "groups": "auto",
        "device": "cpu",
        "folder": folder,
    }
    return Order(**settings | changes)  # type: ignore[arg-type]


def test_a_run_writes_all_that_the_report_needs(tmp_path: Path) -> None:
    record = execute(order(tmp_path, device="auto" if not torch.cuda.is_available() else "cpu"))
    saved = json.loads((tmp_path / "result.json").read_text())
    assert saved["metrics"]["balanced_accuracy"] == record["metrics"]["balanced_accuracy"]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2
    with np.load(tmp_path / "predictions.npz") as predictions:
        proba, target = predictions["proba"], predictions["target"]
    assert np.allclose(proba.sum(1), 1, atol=1e-5)
    accuracy = (proba.argmax(1) == target).mean()
    assert saved["metrics"]["accuracy"] == pytest.approx(accuracy)
    low, high = saved["intervals"]["accuracy"]
    assert low <= accuracy <= high
    assert np.asarray(saved["confusion"]).sum() == len(target)
    assert all(np.isfinite(value).all() for value in load_file(tmp_path / "model.safetensors").values())
    assert saved["selected_epoch"] in (1, 2)
    assert saved["versions"]["torch"]
    assert saved["device"] == "cpu"  # and not "auto"
    assert saved["threads"] >= 1
    assert not (tmp_path / "progress.json").exists()


LEARNT = """
from steelyard.core.objective import Objective
from steelyard.core.roles import Explains
from steelyard.core.stage import Stage
from steelyard.core.weighting import Weighting


class Fixed(Weighting, Explains):
    def forward(self, evidence):
        return evidence.losses.sigmoid()

    def explain(self):
        return {"loss": [0.0, 1.0], "weight": {"all": [1.0, 0.5]}, "figures": {"mine": {"form": "bars"}}}


def learnt(task):
    yield Stage(Objective(weighting=Fixed()))
"""


def test_pictures_of_the_task_and_of_the_method_lie_beside_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_weighting.py").write_text(LEARNT)
    monkeypatch.syspath_prepend(tmp_path)
    seen = {}

    def figures(self: object, proba: np.ndarray, target: np.ndarray) -> dict[str, object]:
        seen["proba"], seen["target"] = proba, target
        return {"of the task": {"form": "bars", "values": [1.0, float("nan")]}}

    monkeypatch.setattr("steelyard.core.task.Task.figures", figures)
    record = execute(order(tmp_path / "own", "own_weighting:learnt"))
    found = json.loads((tmp_path / "own" / "figures.json").read_text())
    assert found == {"of the task": {"form": "bars", "values": [1.0, None]}, "mine": {"form": "bars"}}
    assert "figures" not in record["explanations"]["objective.weighting"]
    with np.load(tmp_path / "own" / "predictions.npz") as predictions:  # the model of the last epoch, on the test rows
        assert np.array_equal(predictions["proba"], seen["proba"].astype(np.float32))
        assert np.array_equal(predictions["target"], seen["target"])


def test_weights_and_what_a_weighting_has_learnt_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_weighting.py").write_text(LEARNT)
    monkeypatch.syspath_prepend(tmp_path)
    plain = execute(order(tmp_path / "plain", "ce"))
    assert plain["explanations"] == {}
    assert not (tmp_path / "plain" / "figures.json").exists()
    execute(order(tmp_path / "own", "own_weighting:learnt"))
    saved = json.loads((tmp_path / "own" / "result.json").read_text())
    assert saved["explanations"] == {"objective.weighting": {"loss": [0.0, 1.0], "weight": {"all": [1.0, 0.5]}}}
    lines = [json.loads(line) for line in (tmp_path / "own" / "log.jsonl").read_text().splitlines()]
    assert all(set(line["group_weights"]) == {"many", "medium", "few"} for line in lines)
    assert all(len(line["class_weights"]) == 10 for line in lines)


def test_a_fault_in_a_method_is_kept_with_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("steelyard.core.fit.fit", broken)
    with pytest.raises(RuntimeError, match="out of luck"):
        execute(order(tmp_path / "run"))
    assert "out of luck" in (tmp_path / "run" / "error.txt").read_text()


def test_data_without_a_test_split_cannot_be_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from steelyard.problems import load

    task = load("digits", factor=20.0)
    del task.splits["test"]
    monkeypatch.setattr("steelyard.bench.execute.load_task", lambda *_: task)
    with pytest.raises(SteelyardError, match="no test split"):
        execute(order(tmp_path))


def test_a_disturbed_epoch_does_not_change_the_typical_step() -> None:
    lines = [{"stage": 0, "step": 10 * (n + 1), "seconds": 1.0 * (n + 1)} for n in range(5)]
    disturbed = [line | {"seconds": line["seconds"] + (50.0 if n >= 2 else 0.0)} for n, line in enumerate(lines)]
    assert typical_step(lines) == pytest.approx(0.1)
    assert typical_step(disturbed) == pytest.approx(0.1)
    second = [{"stage": 1, "step": 10, "seconds": 7.0}, {"stage": 1, "step": 20, "seconds": 9.0}]
    assert typical_step([*lines, *second]) == pytest.approx(0.1)
    slow_start = [line | {"seconds": line["seconds"] + 9.0} for line in lines[:2]]
    assert typical_step(slow_start) == pytest.approx(0.1)
    assert typical_step(slow_start[:1]) == pytest.approx(1.0)
    assert typical_step([]) is None
