from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from compared import compared

from steelyard.bench.trained import finished, is_comparison, rebuild, task_of
from steelyard.core.errors import ArgumentError, CheckpointError, DataError, SteelyardError, UnknownName
from steelyard.core.measure import predict_proba

METHODS = ("ce", "posthoc-la", "tau-norm", "crt", "ncm", "lws", "ldam-drw", "compared:by_weights", "compared:forgetful")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compared(tmp_path_factory.mktemp("trained") / "out", "wine", METHODS, factor=4.0, valid_fraction=0.2)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


@pytest.mark.parametrize("method", METHODS[:-1])
def test_every_method_says_again_what_its_run_said(made: Path, method: str) -> None:
    runs, missing = finished(made, methods=[method])
    assert not missing
    task = task_of(runs[0].run)
    state = torch.random.get_rng_state()
    model = rebuild(task, runs[0])
    assert torch.equal(state, torch.random.get_rng_state())
    proba, target = predict_proba(task, model, "test", "cpu")
    with np.load(runs[0].folder / "predictions.npz") as kept:
        assert proba == pytest.approx(kept["proba"], abs=1e-5)
        assert target.tolist() == kept["target"].tolist()


def test_a_method_that_cannot_be_repeated_is_found_out(made: Path) -> None:
    runs, _ = finished(made, methods=["compared:forgetful"])
    with pytest.raises(SteelyardError, match="other probabilities than it gave"):
        rebuild(task_of(runs[0].run), runs[0])


def test_runs_are_those_of_one_seed_in_the_order_of_the_comparison(tmp_path: Path) -> None:
    out = compared(tmp_path / "two", "wine", ("la", "ce"), seeds=(3, 5))
    assert [(one.run.method, one.run.seed) for one in finished(out)[0]] == [("la", 3), ("ce", 3)]
    assert [one.run.seed for one in finished(out, seed=5)[0]] == [5, 5]
    with pytest.raises(ArgumentError, match="one of 3, 5"):
        finished(out, seed=4)
    with pytest.raises(UnknownName, match="ldam"):
        finished(out, methods=["ldam"])


def test_one_run_is_enough(made: Path) -> None:
    runs, _ = finished(made, methods=["crt"])
    again, _ = finished(runs[0].folder)
    assert again == runs
    assert is_comparison(made)
    assert is_comparison(runs[0].folder)
    assert not is_comparison(made / "runs")
    with pytest.raises(ArgumentError, match="is one run"):
        finished(runs[0].folder, seed=7)


def test_a_run_that_is_not_finished_is_named(folder: Path) -> None:
    runs, _ = finished(folder, methods=["ce"])
    (runs[0].folder / "result.json").unlink()
    found, missing = finished(folder)
    assert [one.run.method for one in found] == list(METHODS[1:])
    assert missing == ["ce has no finished run with seed 0, so it was left out"]
    for one in found:
        (one.folder / "result.json").unlink()
    with pytest.raises(SteelyardError, match="no run of the comparison"):
        finished(folder)


def test_lost_and_damaged_weights_are_one_sentence(folder: Path) -> None:
    runs, _ = finished(folder, methods=["ce"])
    task, path = task_of(runs[0].run), runs[0].folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="is damaged"):
        rebuild(task, runs[0])
    path.unlink()
    with pytest.raises(CheckpointError, match="weights are gone"):
        rebuild(task, runs[0])
    other, _ = finished(folder, methods=["lws"])
    shutil.copy(other[0].folder / "model.safetensors", path)
    with pytest.raises(CheckpointError, match="do not fit the model"):
        rebuild(task, runs[0])


def test_a_repeated_epoch_counts_once(folder: Path) -> None:
    runs, _ = finished(folder, methods=["ce"])
    log = runs[0].folder / "log.jsonl"
    first = log.read_text().splitlines()[0]
    log.write_text(log.read_text() + first.replace('"train_loss": ', '"train_loss": 9') + '\n{"cut')
    lines = runs[0].log()
    assert [line["epoch"] for line in lines] == [1, 2]
    assert lines[0]["train_loss"] > 9


@pytest.fixture
def table(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    rows = "\n".join(f"{u:.3f},{v:.3f},{'ab'[i % 4 == 0]}" for i, (u, v) in enumerate(draw.normal(size=(120, 2))))
    path = tmp_path / "rows.csv"
    path.write_text("u,v,y\n" + rows + "\n")
    return path


def test_the_data_must_be_there_and_the_same(table: Path, tmp_path: Path) -> None:
    out = compared(tmp_path / "out", str(table), ("ce",), target="y", drop=("v",))
    run = finished(out)[0][0].run
    assert task_of(run).counts.sum() > 50
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    with pytest.raises(DataError, match="are not what they were"):
        task_of(run)
    table.unlink()
    with pytest.raises(DataError, match=r"there is no .*rows\.csv"):
        task_of(run)


def test_a_damaged_identity_is_one_sentence(folder: Path) -> None:
    runs, _ = finished(folder, methods=["ce"])
    (runs[0].folder / "run.json").write_text(json.dumps({"problem": "wine"}))
    with pytest.raises(CheckpointError, match="does not say what was run"):
        finished(runs[0].folder)
