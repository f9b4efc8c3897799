"""The experiment on graphs: its plan, its arithmetic, and a small form of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from scripts import loaded

from steelyard.settings import resolve_method


@pytest.fixture(scope="module")
def graphs(repo: Path) -> Iterator[ModuleType]:
    with loaded(repo / "experiments", "graphs_report", "graphs") as module:
        yield module


def test_every_method_of_the_plan_exists_and_every_seed_has_its_split(graphs: ModuleType) -> None:
    plan = graphs.cases("both", Path("data"), 2)
    assert len(plan) == 2 * (2 * len(graphs.CITATION) + 2 * len(graphs.TABLES) + 4)
    for _, _, settings, method in plan:
        assert resolve_method(method) and settings["seed"] in (0, 1)
    assert {name for name, *_ in graphs.cases("tables", Path("data"), 1)} == {
        "diabetes", "haberman", "diabetes without the graph", "haberman without the graph"
    }  # fmt: skip


def test_a_small_form_writes_its_tables_and_goes_on_where_it_was(
    graphs: ModuleType, tmp_path: Path, shared_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    where = ["--data", str(shared_data), "--out", str(tmp_path / "runs"), "--results", str(tmp_path)]
    small = ["--part", "tables", "--seeds", "2", "--epochs", "2", "--methods", "ce;meta-gcn", *where]
    assert graphs.main(small) == 0
    assert capfd.readouterr().out.count("seed") == 12
    assert graphs.main(small) == 0
    assert capfd.readouterr().out == ""  # all of it was known
    found = json.loads((tmp_path / "graphs.json").read_text())
    assert found["about"] == {"part": "tables", "seeds": 2, "epochs": 2}
    row = next(row for row in found["rows"] if row["name"] == "haberman" and row["method"] == "meta-gcn")
    plain = next(row for row in found["rows"] if row["name"] == "haberman" and row["method"] == "ce")
    difference = row["best_valid"]["balanced_accuracy"] - plain["best_valid"]["balanced_accuracy"]
    assert row["versus_ce"]["difference"] == pytest.approx(difference)
    text = (tmp_path / "graphs.md").read_text()
    assert "## haberman without the graph" in text and "`meta-gcn` on diabetes" in text


def test_published_numbers_stand_beside_ours(graphs: ModuleType) -> None:
    values = {"accuracy": 0.7, "balanced_accuracy": 0.6, "macro_f1": 0.5, "auroc": 0.9}
    line = {"name": "cora", "method": "ce", "seed": 0, "epochs": 1, "seconds": 1.0, "best_valid": values, "last": values}
    report = sys.modules["graphs_report"]
    text = report.text(report.summary([line]), {"part": "citation", "seeds": 1, "epochs": 1})
    assert "| `ce` | 70.0 | 60.0 | 50.0 | 90.0 | 60.0 |  | 1.0 | 68.3 / 62.3 / 61.6 |" in text
