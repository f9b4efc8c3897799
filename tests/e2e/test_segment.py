"""`steelyard compare` on point clouds and `steelyard segment` with its best model, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from steelyard.cli.segmenting import segment
from steelyard.data.clouds import forest, read_cloud, write_cloud

pytestmark = [pytest.mark.multiprocess, pytest.mark.xdist_group("segment")]

TASK = "points(classes=(0:ground,1:wood,2:leaf),sample=64,radii=(0.4,))"


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("points")
    cloud = write_cloud(folder / "plot.ply", forest(6, points_per_tree=150))
    command = [
        "compare", str(cloud), "--task", TASK, "--model", "point-mlp", "--methods", "ce,posthoc-la,soul", "--seeds", "1",
        "--epochs", "2", "--jobs", "1", "--device", "cpu", "--out", str(folder / "out"),
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "steelyard", *command],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "positive class is leaf" in done.stdout
    return folder / "out"


def test_a_comparison_ranks_by_g_mean_and_has_the_numbers_of_leaves(compared: Path) -> None:
    board = json.loads((compared / "leaderboard.json").read_text())
    assert board["metric"] == "g_mean"
    assert {row["method"] for row in board["rows"]} == {"ce", "posthoc-la", "soul"}
    for row in board["rows"]:
        numbers = {name: value["mean"] for name, value in row["metrics"].items()}
        assert numbers["leaf_auroc"] == pytest.approx(numbers["auroc"])
        assert numbers["leaf_g_mean"] == pytest.approx(numbers["g_mean"])
        assert numbers["leaf_mcc"] == pytest.approx(numbers["mcc"])
        assert {"leaf_recall", "leaf_specificity"} <= numbers.keys()
    page = (compared / "report.html").read_text()
    assert "leaf_specificity" in page
    (cloud,) = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])["figures"]
    assert cloud["title"] == "A test cloud: plot.ply"
    assert [view["method"] for view in cloud["views"]] == ["ce", "posthoc-la", "soul"]
    assert cloud["clouds"][0]["whole"] == len(cloud["clouds"][0]["x"]) > 50


@pytest.mark.parametrize("method", [None, "posthoc-la", "ce"])
def test_its_models_label_another_cloud(compared: Path, tmp_path: Path, method: str | None) -> None:
    cloud = write_cloud(tmp_path / "new.ply", forest(1, points_per_tree=100, seed=8))
    chosen = [] if method is None else ["--method", method]
    arguments = [str(cloud), "--model", str(compared), "--out", str(tmp_path / "out.csv"), "--no-report", *chosen]
    done = CliRunner().invoke(segment, [*arguments, "--device", "cpu"])
    assert done.exception is None, done.exception
    assert f"method {method}" in done.output or method is None
    labelled = read_cloud(tmp_path / "out.csv")
    assert {*labelled.columns["predicted_label"].tolist()} <= {1, 2}
    assert len(labelled) == len(read_cloud(cloud))


def test_a_run_alone_is_a_model_and_its_damage_is_found(compared: Path, tmp_path: Path) -> None:
    cloud = write_cloud(tmp_path / "new.ply", forest(1, points_per_tree=60, seed=8))
    run = next(path.parent for path in (compared / "runs").glob("*/result.json"))
    arguments = [str(cloud), "--model", str(run), "--out", str(tmp_path / "out.ply"), "--no-report", "--device", "cpu"]
    assert CliRunner().invoke(segment, arguments).exception is None
    assert "unknown method of this comparison 'la'" in str(
        CliRunner().invoke(segment, [*arguments[:2], str(compared), *arguments[3:], "--method", "la"]).exception
    )
    weights = run / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-2] ^= 1
    weights.write_bytes(bytes(content))
    assert "damaged: model.safetensors" in str(CliRunner().invoke(segment, arguments).exception)
