"""Few-shot episodes through `steelyard compare`: a leaderboard with numbers of their own, and errors in one sentence."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from steelyard.cli import cli

TASK = "episodes(way=3,shots=1-4,profile=linear,queries=3,episodes=3,test_episodes=4)"


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of drawings: nine classes in two alphabets."""
    drawn = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("letters") / "letters.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(9):
            own = drawn.uniform(0, 255, (10, 10))
            for copy in range(8):
                pixels = (0.7 * own + 0.3 * drawn.uniform(0, 255, (10, 10))).astype(np.uint8)
                with file.open(f"small/alphabet{number % 2}/letter{number}/{copy}.png", "w") as member:
                    Image.fromarray(pixels).save(member, "PNG")
    return path


def compare(data: Path, out: Path, *options: str, task: str = TASK):
    fixed = ["--seeds", "1", "--epochs", "1", "--jobs", "1", "--device", "cpu"]
    base = ["compare", str(data), "--task", task, *fixed, "--out", str(out)]
    return CliRunner().invoke(cli, [*base, *options])


@pytest.mark.multiprocess
def test_a_comparison_reports_episodes(letters, tmp_path):
    methods = ("ce", "knn", "protonet(rebalance=ros,training=random-shot)")
    options = ("--methods", ",".join(methods), "--metric", "rarest_recall", "--model", "conv4(width=4)")
    result = compare(letters, tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    board = json.loads((tmp_path / "out" / "leaderboard.json").read_text())
    assert board["metric"] == "rarest_recall"
    assert {row["method"] for row in board["rows"]} == set(methods)
    for row in board["rows"]:
        found = {name: entry["mean"] for name, entry in row["metrics"].items()}
        assert found["episode_accuracy"] == pytest.approx(found["accuracy"]) == pytest.approx(found["balanced_accuracy"])
        assert {"recall_1_shots", "recall_2_shots", "recall_4_shots"} <= set(found)
        assert found["recall_1_shots"] == found["rarest_recall"]
    about = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert about["data"]["class_names"] == ["rank 1 (4 shots)", "rank 2 (2 shots)", "rank 3 (1 shot)"]
    assert about["data"]["episodes"] == {"train": 3, "valid": 1, "test": 4}
    page = (tmp_path / "out" / "report.html").read_text()
    audit, decided = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])["figures"]
    assert [one["name"] for one in audit["views"][0]["panels"][0]["series"]] == ["4 shots", "2 shots", "1 shot"]
    assert audit["views"][0]["panels"][0]["series"][0]["expected"][0] == pytest.approx(4 / 7, abs=1e-3)  # 1-NN
    assert set(decided["methods"]) == set(methods)
    target = np.load(next((tmp_path / "out" / "runs").iterdir()) / "predictions.npz")["target"]
    assert len(target) == 4 * 9


@pytest.mark.parametrize(
    ("options", "task", "said"),
    [
        ((), "episodes(way=6)", "12 in all; the data have 9"),
        ((), "episodes(way=2,shots=1-9)", "lower shots or queries"),
        ((), "episodes(shot=1-9)", "did you mean 'shots'"),
        ((), "episodes(profile=lineal)", "profile"),
        (("--methods", "crt"), TASK, "no linear layer"),
        (("--methods", "dkt(rebalance=weighted)"), TASK, "rebalance"),
        (("--metric", "rare_recall"), TASK, "rarest_recall"),
        (("--factor", "10"), TASK, "episodes have no use for it"),
    ],
)
def test_what_cannot_be_is_one_sentence(letters, tmp_path, options, task, said):
    result = compare(letters, tmp_path / "out", *options, task=task)
    assert result.exit_code != 0
    assert said in f"{result.output} {result.exception}"
