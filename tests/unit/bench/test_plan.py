from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest

from steelyard.bench.plan import Comparison, git_commit, versions
from steelyard.bench.runner import Machine
from steelyard.core.errors import ArgumentError
from steelyard.core.regime import Regime


def plan(**changes) -> Comparison:
    settings = {
        "data": "digits",
        "methods": ("ce", "la"),
        "regime": Regime(epochs=2),
        "regime_name": "short",
        "seeds": (0, 1, 2),
        "problem": {"factor": 50.0, "target": None},
        "fingerprint": "abc",
    }
    return Comparison(**settings | changes)


def test_all_methods_of_a_seed_come_before_the_next_seed() -> None:
    runs = plan().runs()
    assert [(run.seed, run.method) for run in runs] == [(s, m) for s in (0, 1, 2) for m in ("ce", "la")]
    assert len({run.id for run in runs}) == 6


@pytest.mark.parametrize(
    "change",
    [{"fingerprint": "abd"}, {"regime": Regime(epochs=3)}, {"problem": {"factor": 20.0}}, {"device": "cuda"}, {"data": "wine"}],
)
def test_what_changes_the_numbers_changes_the_identity(change: dict[str, object]) -> None:
    assert {run.id for run in plan().runs()}.isdisjoint(run.id for run in plan(**change).runs())


def test_more_methods_or_seeds_leave_the_others_as_they_are() -> None:
    more = plan(methods=("ce", "la", "focal"), seeds=(0, 1, 2, 3))
    assert {run.id for run in plan().runs()} < {run.id for run in more.runs()}


def test_an_edited_method_of_one_s_own_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the command would find it finished and show the numbers from before the edit."""
    monkeypatch.syspath_prepend(tmp_path)

    def ids(body: str) -> set[str]:
        (tmp_path / "own_trick.py").write_text(f"from steelyard import Stage\ndef mine(task):\n    {body}\n")
        sys.modules.pop("own_trick", None)
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        return {run.id for run in plan(methods=("own_trick:mine",)).runs()}

    assert ids("yield Stage()") == ids("yield Stage()  # as it was")
    assert ids("yield Stage()").isdisjoint(ids("yield Stage(epochs=1)"))


@pytest.mark.parametrize("change", [{"methods": ()}, {"seeds": ()}, {"methods": ("ce", "ce")}, {"seeds": (1, 1)}])
def test_empty_and_repeated_lists_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(change))):
        plan(**change)


def test_threads_depend_on_the_whole_comparison_only() -> None:
    """A run must go on with the threads it began with."""
    jobs, threads = Machine(jobs=2).crew(6)
    assert jobs == 2
    assert threads >= 1
    assert Machine(jobs=1).crew(6)[0] == 1
    assert Machine(jobs=64).crew(3)[0] == 3


def test_threads_are_no_more_than_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.bench.runner._cores", lambda: 8)
    for given, wanted in (("2", 2), ("3,1", 3), ("64", 8), ("0", 8), ("many", 8), ("", 8)):
        monkeypatch.setenv("OMP_NUM_THREADS", given)
        assert Machine(jobs=1).crew(6) == (1, wanted)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert Machine(jobs=1).crew(6, 5) == (1, 5)  # a comparison that was begun with 5


def test_versions_and_commit_are_found() -> None:
    assert {"python", "torch", "steelyard"} <= set(versions())
    commit = git_commit()
    assert commit is None or len(commit.split("+")[0]) == 40
