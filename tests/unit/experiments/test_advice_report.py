"""The arithmetic of the experiment on the advice, on problems whose result is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scripts import loaded

METHODS = ["ce", "la", "mixup-bs"]


@pytest.fixture(scope="module")
def report(repo: Path) -> Iterator[ModuleType]:
    with loaded(repo / "experiments", "advice_report") as module:
        yield module


def line(name: str, eta: float, *recalls: tuple[float, float], seed: int = 0, kind: str = "real") -> dict[str, Any]:
    """A problem whose advice is `ce` where eta is 1, and else `mixup-bs`."""
    measured = {
        "classes": 2, "rows": 100, "features": 5, "fewest": 10, "eta": eta, "delta": 2.0, "delta_low": 1.0, "recall": 0.2,
        "adjusted": 0.8, "ideal": None, "prior": 0.5, "count_bias": 0.1, "estimation": None, "curable": 0.5, "held_out": None,
        "noise": None,
    }  # fmt: skip
    found = dict(zip(METHODS, map(list, recalls), strict=True))
    return {"name": name, "kind": kind, "seed": seed, "measured": measured, "recalls": found, "shares": [0.9, 0.1]}


LINES = [
    line("a", 1.0, (0.9, 0.9), (0.8, 0.8), (0.7, 0.7)),
    line("b", 9.0, (1.0, 0.0), (0.9, 0.5), (0.8, 0.9)),
    line("b", 9.0, (1.0, 0.6), (0.9, 0.7), (0.6, 0.6), seed=1),
    line("c", 9.0, (0.5, 0.5), (0.5, 0.5), (0.5, 0.5), kind="synthetic"),
]


def test_a_problem_counts_once_and_equal_scores_share_their_place(report: ModuleType) -> None:
    found = report.summary(LINES, METHODS, "balanced_accuracy")
    assert {kind: numbers["problems"] for kind, numbers in found.items()} == {"all": 3, "real": 2, "synthetic": 1}
    # a: ce is first. b: mixup-bs is first on one split and third on the other. c: all are equal.
    assert found["all"]["advice"]["best_two"][0] == pytest.approx((1 + 0.5 + 1) / 3)
    assert found["all"]["always la"]["best_two"][0] == 1
    assert found["real"]["always mixup-bs"]["best_two"][0] == pytest.approx((0 + 0.5) / 2)
    assert found["real"]["advice"]["lost"][0] == pytest.approx((0 + (0 + 0.2) / 2) / 2)
    assert found["synthetic"]["advice"]["best_two"] == [1, 1, 1]


def test_accuracy_weighs_recalls_by_the_shares_of_the_classes(report: ModuleType) -> None:
    found = report.summary(LINES, METHODS, "accuracy")
    # b: 0.9 and 0.86 and 0.81 on the first split; 0.96, 0.88 and 0.6 on the second. The advice is ce.
    assert found["real"]["advice"]["best_two"][0] == 1
    assert found["real"]["always mixup-bs"]["lost"][0] == pytest.approx((0.2 + (0.09 + 0.36) / 2) / 2)


def test_the_page_names_what_was_left_out(report: ModuleType, tmp_path: Path) -> None:
    about = {"part": "test", "splits": 2, "draws": 1, "steps": 200, "left_out": {"credit": "needs a file"}}
    report.write(tmp_path, LINES, METHODS, about)
    page = (tmp_path / "advice.md").read_text()
    assert "- credit: needs a file" in page
    assert "| b | mixup-bs | 65.0 | **75.0** | **72.5** |" in page
    kept = json.loads((tmp_path / "advice.json").read_text())
    assert kept["summary"]["balanced_accuracy"]["all"]["problems"] == 3
