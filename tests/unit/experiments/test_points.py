"""The experiment on leaf and wood: its controls by hand, and a small form of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scripts import loaded

from steelyard.tasks.points.numbers import numbers_of


@pytest.fixture(scope="module")
def experiment(repo: Path) -> Iterator[ModuleType]:
    with loaded(repo / "experiments", "points", suffix="_experiment") as module:
        yield module


def test_a_moved_threshold_decides_there_and_keeps_the_order(experiment: ModuleType) -> None:
    proba = np.array([[0.3, 0.7], [0.1, 0.9], [0.05, 0.95]])
    moved = experiment.by_threshold(proba, 0.92)
    assert (moved.argmax(1) == (proba[:, 1] > 0.92)).all()
    assert (np.diff(moved[:, 1]) > 0).all()
    np.testing.assert_allclose(moved.sum(1), 1)


def test_the_best_threshold_is_found(experiment: ModuleType) -> None:
    draw = np.random.default_rng(0)
    target = (draw.random(2000) < 0.9).astype(int)
    leaf = 1 / (1 + np.exp(-(draw.normal(size=2000) + 2 * target + 1)))
    proba = np.stack([1 - leaf, leaf], 1)
    found = experiment.best_threshold(proba, target)
    best = max(numbers_of(experiment.by_threshold(proba, t), target, 1)["g_mean"] for t in np.linspace(0.01, 0.99, 300))
    assert numbers_of(experiment.by_threshold(proba, found), target, 1)["g_mean"] > best - 0.01


def test_a_small_form_writes_its_table_and_goes_on(experiment: ModuleType, tmp_path: Path, capsys) -> None:
    options = ["--seeds", "1", "--epochs", "1", "--trees", "6", "--points-per-tree", "100", "--out", str(tmp_path / "a.jsonl"),
               "--results", str(tmp_path)]  # fmt: skip
    assert experiment.main([*options, "--methods", "ce"]) == 0
    assert experiment.main([*options, "--methods", "ce; soul"]) == 0
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 2  # ce was not trained again
    found = json.loads((tmp_path / "points.json").read_text())
    assert [row["method"] for row in found["rows"]] == ["ce", experiment.SHIFTED, experiment.MOVED, "soul"]
    rows = {row["method"]: row["mean"] for row in found["rows"]}
    assert rows[experiment.SHIFTED]["auroc"] == pytest.approx(rows["ce"]["auroc"])  # a shift keeps the order of the points
    assert rows[experiment.SHIFTED]["specificity"] >= rows["ce"]["specificity"]
    assert "| soul |" in (tmp_path / "points.md").read_text()
    assert "wood recall" in capsys.readouterr().out
