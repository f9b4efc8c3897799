"""Graphs from the command line and from Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_graph import arrays

from steelyard.cli import cli
from steelyard.core.errors import ArgumentError, DataError, SteelyardError, UnknownName
from steelyard.problems import ProblemSettings, load
from steelyard.problems._kinds.graphs import graphs
from steelyard.tasks.graphs import GraphTask


def written(folder: Path) -> Path:
    np.savez(folder / "net.npz", **{key: value.numpy() for key, value in arrays().items()})
    return folder / "net.npz"


def test_settings_arrive(tmp_path: Path) -> None:
    path = str(written(tmp_path))
    found = load(path, task="graphs(protocol=igl-lt-20,ratio=5,neighbours=(4,3),directed=true)", model="sage(hidden=8)", seed=3)
    assert isinstance(found, GraphTask) and found.model_name == "sage" and found.neighbours == (4, 3)
    assert found.graph.edge_index.shape[1] < load(path, task="graphs").describe()["edges"] * 2
    again = load(path, task="graphs(protocol=igl-lt-20,ratio=5,neighbours=(4,3),directed=true)", model="sage(hidden=8)", seed=3)
    assert torch.equal(found.splits["train"].inputs, again.splits["train"].inputs)  # type: ignore[attr-defined]
    other = load(path, task="graphs", seed=4)
    assert not torch.equal(
        other.splits["train"].inputs, load(path, task="graphs").splits["train"].inputs  # type: ignore[attr-defined]
    )  # fmt: skip


def test_features_are_standard_for_tables_and_raw_else(tmp_path: Path) -> None:
    rows = "\n".join(f"{i % 7},{i * 3 % 11},{i % 2}" for i in range(60))
    (tmp_path / "t.csv").write_text("a,b,label\n" + rows + "\n")
    rule = "edge_column=a,edge_threshold=1"
    table = load(str(tmp_path / "t.csv"), task=f"graphs({rule})", target="label")
    assert isinstance(table, GraphTask)
    assert torch.allclose(table.graph.x.mean(0), torch.zeros(1), atol=1e-5)
    kept = load(str(tmp_path / "t.csv"), task=f"graphs({rule},keep_edge_column=true,features=raw)", target="label")
    assert isinstance(kept, GraphTask) and kept.graph.x.shape[1] == 2 and float(kept.graph.x.max()) == 10
    assert torch.equal(load(arrays(), task="graphs").graph.x, arrays()["x"])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"task": "graphs(protocol=igl)"}, UnknownName, "protocol"),
        ({"task": "graphs(protocoll=random)"}, UnknownName, "protocoll"),
        ({"task": "graphs(neighbours=many)"}, ArgumentError, "neighbours"),
        ({"task": "graphs(edge_column=a)"}, SteelyardError, "edge_threshold"),
        ({"task": "graphs(edge_column=a,edge_threshold=1)"}, ArgumentError, "no table"),
        ({"task": "graphs", "factor": 10}, ArgumentError, "factor"),
        ({"task": "graphs", "noise": 0.1}, ArgumentError, "noise"),
        ({"task": "graphs", "target": "y"}, ArgumentError, "target"),
        ({"task": "graphs", "model": "resnet32"}, UnknownName, "model for graphs"),
        ({"task": "graphs(features=other)"}, ArgumentError, "features"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        load(arrays(), **settings)


def test_the_maker_is_what_load_calls() -> None:
    made, loaded = graphs(arrays(), ProblemSettings(seed=2), protocol="random"), load(arrays(), task="graphs", seed=2)
    assert torch.equal(made.splits["train"].target, loaded.splits["train"].target)


def test_an_empty_graph_is_refused() -> None:
    with pytest.raises(DataError, match="is empty"):
        load({"x": torch.empty(0, 2), "edge_index": torch.empty(2, 0), "y": torch.empty(0)}, task="graphs")


@pytest.mark.multiprocess
def test_compare_from_the_command_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = [
        "compare", str(written(tmp_path)), "--task", "graphs(protocol=tam-step10)", "--methods", "ce,meta-gcn,bat+la",
        "--seeds", "1", "--epochs", "3", "--no-report", "--jobs", "1", "--out", str(out),
    ]  # fmt: skip
    cli.main(arguments, standalone_mode=False)
    said = capfd.readouterr().out
    assert "net: " in said and "meta-gcn" in said
    plan = json.loads((out / "comparison.json").read_text())
    assert plan["data"]["kind"] == "graphs" and plan["data"]["nodes"] == 102 and plan["regime"]["optimizer"] == "adam"
    board = json.loads((out / "leaderboard.json").read_text())
    assert {row["method"] for row in board["rows"]} == {"ce", "meta-gcn", "bat+la"}
    assert board["metric"] == "balanced_accuracy"
    results = [json.loads(path.read_text()) for path in out.glob("runs/*/result.json")]
    learnt = next(found["explanations"] for found in results if found["method"] == "meta-gcn")
    assert learnt["objective.weighting"]["steps"] == 3
    pictures = [json.loads(path.read_text()) for path in out.glob("runs/*/figures.json")]
    assert [list(found) for found in pictures] == [["neighbourhood"]] * 3
