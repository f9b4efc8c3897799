"""The scripts behind published tables: run in a small form, gone on with, and honest about what they find."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from scripts import loaded

from steelyard.methods import CONTROLS

pytestmark = [pytest.mark.multiprocess, pytest.mark.xdist_group("experiments")]


@pytest.fixture(scope="module")
def adaptive(repo: Path) -> Iterator[ModuleType]:
    with loaded(repo / "experiments", "adaptive", suffix="_experiment") as module:
        yield module


def run(adaptive: ModuleType, folder: Path, *options: str) -> int:
    where = ["--out", str(folder / "runs"), "--results", str(folder / "results"), "--jobs", "1"]
    return int(adaptive.main(["digits", "--epochs", "1", "--seeds", "2", *options, *where]))


def test_a_small_form_writes_its_table_and_goes_on_where_it_was(adaptive, tmp_path, capfd):
    assert run(adaptive, tmp_path, "--methods", "ce,la") == 0
    first = capfd.readouterr().out
    assert "4 runs into" in first
    text = (tmp_path / "results" / "adaptive_digits.md").read_text()
    assert "| `la` (control) |" in text
    assert "`python experiments/adaptive.py digits --methods ce,la --seeds 2 --epochs 1`" in text
    # An adaptive method is added; what is finished is not done again, and a name that is no method is named.
    assert run(adaptive, tmp_path, "--methods", "ce,la,mw-net,no-such-method") == 0
    assert "4 of 6 runs were finished before" in capfd.readouterr().out
    found = json.loads((tmp_path / "results" / "adaptive_digits.json").read_text())
    assert {row["method"] for row in found["rows"]} == {"ce", "la", "mw-net"}
    row = next(row for row in found["rows"] if row["method"] == "mw-net")
    means = {row["method"]: row["metrics"]["balanced_accuracy"]["mean"] for row in found["rows"]}
    assert found["best_control"] == max(("ce", "la"), key=means.__getitem__)
    assert row["versus_ce"]["difference"] == pytest.approx(means["mw-net"] - means["ce"])
    assert row["versus_best_control"]["difference"] == pytest.approx(means["mw-net"] - means[found["best_control"]])
    assert sum(len(names) for names in found["versus_ce"].values()) == 1  # controls are not counted
    text = (tmp_path / "results" / "adaptive_digits.md").read_text()
    assert "unknown method 'no-such-method'" in text
    assert text.count("`mw-net`") >= 3  # in both sentences, and in the table
    assert (tmp_path / "runs" / "adaptive-digits" / "report.html").exists()


def test_every_adaptive_method_and_control_is_planned_with_every_seed(adaptive):
    names, missing = adaptive.usable((*CONTROLS, *adaptive.ADAPTIVE))
    assert missing == {}
    assert len(names) == len(CONTROLS) + len(adaptive.ADAPTIVE)
    for case in adaptive.CASES.values():
        planned = adaptive.plan(case, names, adaptive.SEEDS).runs()
        assert len({run.id for run in planned}) == 5 * len(names)


def entry(difference: float, low: float | None, high: float | None, p_holm: float | None) -> dict[str, float | None]:
    return {"difference": difference, "low": low, "high": high, "p_holm": p_holm}


def test_a_method_is_better_only_after_the_correction(adaptive):
    entries = {
        "a": entry(0.1, 0.08, 0.12, 0.001),
        "b": entry(0.1, 0.02, 0.18, 0.2),
        "c": entry(0.1, -0.02, 0.22, 0.9),
        "d": entry(-0.1, -0.18, -0.02, 0.2),
        "e": entry(-0.1, -0.12, -0.08, 0.001),
        "f": entry(0.0, None, None, None),
        "g": None,
    }
    rows = [{"method": name, "versus": value} for name, value in entries.items()]
    found = adaptive.findings(rows, "versus")
    assert found == {"better": ["a"], "above": ["b"], "open": ["c", "f"], "below": ["d"], "worse": ["e"]}
    sentences = adaptive._sentences(found | {"better": []}, "the control", 5)
    assert sentences[0] == "- No method is clearly better than the control."
    assert len(sentences) == 5
