from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import Blobs

from steelyard.bench.search import Tunable, space_of
from steelyard.bench.study import begin, opened, states
from steelyard.bench.trial import Attempt, Tuning, blind, check_metric, identity_of, run_trial, settings_now, value_of_epoch
from steelyard.core.errors import CheckpointError, DataError
from steelyard.core.measure import Report
from steelyard.core.regime import Regime
from steelyard.core.rows import Clock

pytest.importorskip("optuna", reason="Optuna is an extra: pip install 'steelyard[tune]'")

REGIME = Regime(epochs=3, batch_size=32, lr=0.05)


class Trap:
    """A split that must not be looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test split was asked for '{name}'")

    def __len__(self) -> int:
        raise AssertionError("the test split was asked for its length")


def plan(*searched: tuple[str, str], method: str = "la", regime: Regime = REGIME, **settings: Any) -> Tuning:
    space = space_of(Tunable(method, regime, "short"), "method", searched)
    return Tuning(**{"data": "blobs", "method": method, "regime": regime, "regime_name": "short", "space": space, "trials": 3,
                     "device": "cpu"} | settings)  # fmt: skip


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Blobs:
    """What every study here is of; its test split is a trap."""
    found = Blobs()
    found.splits["test"] = Trap()  # type: ignore[assignment]
    monkeypatch.setattr("steelyard.bench.trial.load_task", lambda *_: found)
    return found


def tried(study: Tuning, folder: Path, number: int | None = None) -> dict[str, Any]:
    with opened(folder, minimise=study.minimise) as database:
        begin(database, settings_now(study), study.space)
    return run_trial(Attempt(study, folder, number))


def test_a_trial_is_judged_on_validation_rows_and_the_test_split_is_not_there(task: Blobs, tmp_path: Path) -> None:
    found = tried(plan(), tmp_path)
    assert found["state"] == "complete"
    assert found["settings"] == {"tau": 1.0}
    assert 0 <= found["value"] <= 1
    metrics = json.loads((tmp_path / "trials" / "0000" / "metrics.json").read_text())
    assert metrics["0"]["balanced_accuracy"] == found["value"]
    assert len((tmp_path / "trials" / "0000" / "seed-0" / "log.jsonl").read_text().splitlines()) == REGIME.epochs
    assert not list(tmp_path.rglob("checkpoints"))
    with opened(tmp_path, minimise=False) as database:
        trial = database.get_trials()[0]
    assert trial.value == found["value"]
    assert sorted(trial.intermediate_values) == [1, 2, 3]


def test_several_seeds_are_averaged(task: Blobs, tmp_path: Path) -> None:
    found = tried(plan(seeds=(3, 5)), tmp_path)
    assert len(found["values"]) == 2
    assert found["value"] == pytest.approx(sum(found["values"]) / 2)


def test_a_decision_is_judged_with_the_model(task: Blobs, tmp_path: Path) -> None:
    """The validation numbers of an epoch do not know of it; the value of a trial does."""
    values = {}
    for tau in (0.0, 30.0):
        (tmp_path / str(tau)).mkdir()
        values[tau] = tried(plan(("tau", f"{tau}|9"), method=f"posthoc-la(tau={tau})", metric="log_loss"), tmp_path / str(tau))
    assert values[0.0]["value"] != values[30.0]["value"]


@pytest.mark.parametrize("settings", [{"regime.lr": 1e30}, {"minimum": 0.5}])
def test_settings_that_cannot_be_trained_are_a_result(task: Blobs, tmp_path: Path, settings: dict[str, float]) -> None:
    ((key, value),) = settings.items()
    found = tried(plan((key.removeprefix("regime."), f"{value}|{value / 2}"), method="class-smoothing"), tmp_path)
    assert found["state"] == "complete"  # the first trial has the settings as they are
    found = run_trial(Attempt(plan((key.removeprefix("regime."), f"{value}"), method="class-smoothing"), tmp_path))
    assert found["state"] == "failed"
    assert found["reason"]
    with opened(tmp_path, minimise=False) as database:
        assert states(database) == ([0, 1], [])


def test_a_trial_without_hope_is_pruned(task: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optuna.trial.Trial.should_prune", lambda self: True)
    found = tried(plan(), tmp_path)
    assert found["state"] == "pruned"
    with opened(tmp_path, minimise=False) as database:
        assert len(database.get_trials()[0].intermediate_values) == 1


def killed_at(epoch: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the process be interrupted at the end of an epoch; the function returned lets it live."""
    from steelyard.bench.listeners import Heartbeat

    def assess(self: Heartbeat, report: Report) -> None:
        if report.clock.epoch + 1 == epoch:
            raise KeyboardInterrupt

    with_kill = monkeypatch.context()
    patch = with_kill.__enter__()
    patch.setattr(Heartbeat, "assess", assess)
    return lambda: with_kill.__exit__(None, None, None) and None


def test_a_trial_that_was_killed_goes_on_to_the_same_value(
    task: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = tried(plan(), tmp_path / "whole")
    live = killed_at(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        tried(plan(), tmp_path / "parts")
    live()
    with opened(tmp_path / "parts", minimise=False) as database:
        assert states(database) == ([], [0])
    again = run_trial(Attempt(plan(), tmp_path / "parts", 0))
    assert {key: again[key] for key in ("number", "value", "settings")} == {
        key: whole[key] for key in ("number", "value", "settings")
    }


def test_what_is_wrong_with_the_machine_is_no_result(task: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise CheckpointError("no space left")

    monkeypatch.setattr("steelyard.core.fit.fit", full)
    with pytest.raises(CheckpointError, match="no space"):
        tried(plan(), tmp_path)
    with opened(tmp_path, minimise=False) as database:
        assert states(database) == ([], [0])


def test_without_validation_rows_there_is_nothing_to_choose_by() -> None:
    with pytest.raises(DataError, match="--valid-fraction"):
        blind(Blobs(valid=False))
    assert set(blind(Blobs()).splits) == {"train", "valid"}


def test_a_metric_that_the_rows_cannot_give_is_refused() -> None:
    task = blind(Blobs(counts=(60, 50)))
    check_metric(task, plan(metric="auroc"))
    with pytest.raises(DataError, match="'few_recall' is undefined"):
        check_metric(task, plan(metric="few_recall", groups="thresholds"))


def test_identity_is_everything_but_the_number_of_trials() -> None:
    assert identity_of(plan()) == identity_of(plan(trials=7))
    others = [
        plan(("tau", "0..1")),
        plan(metric="accuracy"),
        plan(seeds=(1,)),
        plan(regime=REGIME.replace(epochs=4)),
        plan(problem={"factor": 10}),
        plan(fingerprint="1"),
        plan(pruner="none"),
        plan(seed=1),
        plan(data="digits"),
    ]
    assert all(identity_of(other) != identity_of(plan()) for other in others)


def test_epochs_have_numbers_for_some_metrics_and_stand_ins_for_the_rest() -> None:
    recall = torch.tensor([1.0, 0.25, math.nan])
    report = Report(0, Clock(), 0.5, 0.1, 1.0, 10, recall=recall, accuracy=0.9, balanced_accuracy=0.625, macro_f1=0.6, loss=0.3)
    expected = {"accuracy": 0.9, "balanced_accuracy": 0.625, "macro_f1": 0.6, "worst_recall": 0.25, "g_mean": 0.5}
    expected |= {"log_loss": 0.3, "ece": 0.3, "auroc": 0.625, "few_recall": 0.625}
    assert {metric: value_of_epoch(report, metric) for metric in expected} == pytest.approx(expected)
    assert value_of_epoch(Report(0, Clock(), 0.5, 0.1, 1.0, 10), "accuracy") is None
