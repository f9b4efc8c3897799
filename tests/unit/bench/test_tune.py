from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny import Blobs

import steelyard.core.fit as loop
from steelyard.bench.pool import Outcome
from steelyard.bench.runner import Machine
from steelyard.bench.search import Tunable, space_of
from steelyard.bench.trial import Tuning
from steelyard.bench.tune import check_finished, tune
from steelyard.core.errors import CheckpointError, SteelyardError, TrainingError
from steelyard.core.regime import Regime

pytest.importorskip("optuna", reason="Optuna is an extra: pip install 'steelyard[tune]'")

REGIME = Regime(epochs=2, batch_size=47, lr=0.05)


class Told:
    """A display that remembers."""

    def __init__(self) -> None:
        self.begun: tuple[int, int] | None = None
        self.ended: list[Any] = []

    def begin(self, trials: int, finished: int) -> None:
        self.begun = (trials, finished)

    def beat(self, number: int, beat: Mapping[str, Any]) -> None:
        pass

    def end(self, record: Mapping[str, Any] | None, error: str | None) -> None:
        self.ended.append(error if record is None else record["number"])


def here(
    function: Callable[[Any], Any], jobs: Sequence[Any], *, workers: int, threads: int, idle: Callable[[], None]
) -> Iterator[Outcome[Any]]:
    """`run_jobs` in this process."""
    for job in jobs:
        idle()
        try:
            yield Outcome(job, function(job))
        except SteelyardError as error:
            yield Outcome(job, error=error)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.bench.tune.run_jobs", here)
    monkeypatch.setattr("steelyard.bench.trial.load_task", lambda *_: Blobs())
    monkeypatch.setattr("steelyard.bench.study.STARTUP_TRIALS", 2)


def plan(trials: int = 4, method: str = "la", **settings: Any) -> Tuning:
    space = space_of(Tunable(method, REGIME, "short"), "both", [("weight_decay", "2e-4")])
    facts = {"data": "blobs", "method": method, "regime": REGIME, "regime_name": "short", "space": space, "trials": trials}
    return Tuning(**facts | {"device": "cpu", "pruner": "none"} | settings)


def run(study: Tuning, out: Path) -> tuple[dict[str, Any], Told]:
    told = Told()
    return tune(study, out, machine=Machine(1), display=told), told


def essence(summary: Mapping[str, Any]) -> list[Any]:
    return [(row["number"], row["state"], row["value"], row["settings"]) for row in summary["trials"]]


def test_a_study_from_first_to_last(tmp_path: Path) -> None:
    summary, told = run(plan(), tmp_path)
    assert told.begun == (4, 0)
    assert told.ended == [0, 1, 2, 3]
    assert json.loads((tmp_path / "tune.json").read_text()) == json.loads(json.dumps(summary))
    assert summary["trials"][0]["default"]
    assert summary["default"]["settings"] == {"tau": 1.0, "lr": 0.05, "weight_decay": 2e-4, "batch_size": 47}
    best = summary["best"]
    assert best["value"] == max(row["value"] for row in summary["trials"])
    tau = best["settings"]["tau"]
    assert best["written"] == ("la" if tau == 1.0 else f"la(tau={tau})")
    assert set(best["regime_changes"]) <= {"lr", "batch_size"}
    check_finished(summary)


def test_finished_trials_are_kept_and_more_can_be_added(tmp_path: Path) -> None:
    first, _ = run(plan(2), tmp_path)
    again, told = run(plan(2), tmp_path)
    assert told.ended == []
    assert essence(again) == essence(first)
    more, told = run(plan(4), tmp_path)
    assert (told.begun, told.ended) == ((4, 2), [2, 3])
    assert essence(more)[:2] == essence(first)


def test_an_interrupted_study_ends_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = run(plan(), tmp_path / "whole")
    calls = iter(range(100))

    original = loop.fit
    for _ in range(2):
        monkeypatch.setattr(loop, "fit", lambda *a, **k: _dying(original, calls, *a, **k))
        with pytest.raises(KeyboardInterrupt):
            run(plan(), tmp_path / "parts")
    monkeypatch.setattr(loop, "fit", original)
    parts, _ = run(plan(), tmp_path / "parts")
    assert essence(parts) == essence(whole)


def _dying(fit: Callable[..., Any], calls: Iterator[int], *arguments: Any, **named: Any) -> Any:
    if next(calls) in (1, 3):
        raise KeyboardInterrupt
    return fit(*arguments, **named)


def test_a_folder_of_another_study_is_refused(tmp_path: Path) -> None:
    run(plan(1), tmp_path)
    with pytest.raises(CheckpointError, match="its method is 'la', here 'focal'"):
        run(plan(1, "focal"), tmp_path)
    with pytest.raises(CheckpointError, match="its metric is 'balanced_accuracy', here 'accuracy'"):
        run(plan(1, metric="accuracy"), tmp_path)


def test_lower_is_better_for_some_metrics(tmp_path: Path) -> None:
    summary, _ = run(plan(3, metric="log_loss"), tmp_path)
    assert summary["minimise"]
    assert summary["best"]["value"] == min(row["value"] for row in summary["trials"])


def test_what_no_trial_can_train_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverging(*_: Any, **__: Any) -> None:
        raise TrainingError("the training loss is nan")

    monkeypatch.setattr("steelyard.core.fit.fit", diverging)
    summary, _ = run(plan(2), tmp_path)
    assert [row["state"] for row in summary["trials"]] == ["failed", "failed"]
    with pytest.raises(SteelyardError, match="no trial went to its end: the training loss is nan"):
        check_finished(summary)


def test_what_went_wrong_outside_the_trials_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise CheckpointError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("steelyard.core.fit.fit", full)
        summary, told = run(plan(1), tmp_path)
    assert told.ended == ["no space left"]
    with pytest.raises(SteelyardError, match="1 trials could not be done, the first because: no space left"):
        check_finished(summary)
    summary, _ = run(plan(1), tmp_path)
    check_finished(summary)
    assert [row["state"] for row in summary["trials"]] == ["complete"]
