from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from steelyard.cli.segmenting import segment
from steelyard.data.clouds import Cloud, forest, read_cloud, write_cloud
from steelyard.tasks.points.making import Protocol, point_task
from steelyard.tasks.points.samples import Cutting
from steelyard.tasks.points.segmenter import Segmenter
from steelyard.tasks.points.storing import save_segmenter


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    protocol = Protocol(
        classes=("0:ground", "1:wood", "2:leaf"), cutting=Cutting(size=64), radii=(0.4,), valid_fraction=0.0, group="islands"
    )
    task = point_task("forest", [forest(6, points_per_tree=150)], protocol, model="point-mlp")
    torch.manual_seed(0)
    return save_segmenter(Segmenter.of(task, task.model()), tmp_path_factory.mktemp("m"))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cloud(tmp_path_factory.mktemp("c") / "plot.ply", forest(2, points_per_tree=100, seed=5))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(segment, [str(argument) for argument in arguments])


def test_a_cloud_is_labelled_and_drawn(model: Path, cloud: Path, tmp_path: Path) -> None:
    done = run(
        cloud, "--model", model, "--out", tmp_path / "out.ply", "--leave-out", "label=0", "--device", "cpu", "--votes", 2
    )
    assert done.exception is None, done.exception
    before, after = read_cloud(cloud), read_cloud(tmp_path / "out.ply")
    assert np.array_equal(after.xyz, before.xyz)
    ground = before.columns["label"] == 0
    assert np.array_equal(after.columns["predicted_label"] == 255, ground)
    assert f"{int(ground.sum())} left out (255)" in " ".join(done.output.split())
    for number in ("recall", "specificity", "g mean", "mcc", "auroc"):
        assert f"leaf {number} " in done.output
    assert "data:image/png" in (tmp_path / "out.html").read_text()


def test_a_cloud_without_labels_has_no_numbers(model: Path, tmp_path: Path) -> None:
    bare = write_cloud(tmp_path / "bare.xyz", Cloud(forest(1, points_per_tree=100).xyz))
    done = run(bare, "--model", model, "--out", tmp_path / "out.xyz", "--no-report", "--device", "cpu")
    assert done.exception is None, done.exception
    assert "recall" not in done.output
    assert not (tmp_path / "out.html").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--leave-out", "species=oak"), "no column 'species'"),
        (("--leave-out", "label=ground"), "--leave-out"),
        (("--leave-out", "label"), "COL=VALUE|KEY=VALUE"),
        (("--votes", 0), "votes"),
        (("--method", "soul"), "leave --method out"),
        (("--device", "tpu"), "device"),
    ],
)
def test_what_is_wrong_is_said(model: Path, cloud: Path, tmp_path: Path, options, said: str) -> None:
    done = run(cloud, "--model", model, "--out", tmp_path / "out.ply", *options)
    assert done.exception is not None
    assert any(part in str(done.exception) for part in said.split("|"))
    assert not list(tmp_path.iterdir())


def test_a_name_that_cannot_be_written_is_said_first(model: Path, tmp_path: Path) -> None:
    assert "known endings" in str(run("nowhere.laz", "--model", model, "--out", tmp_path / "a.e57").exception)
    assert "no file nowhere.laz" in str(run("nowhere.laz", "--model", model, "--out", tmp_path / "a.ply").exception)
    assert "no folder" in str(run("nowhere.laz", "--model", tmp_path / "no", "--out", tmp_path / "a.ply").exception)


def test_every_option_is_explained() -> None:
    assert all(getattr(parameter, "help", None) for parameter in segment.params[1:])
