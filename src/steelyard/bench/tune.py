"""A study from its first trial, or from where it was interrupted, to the best settings. Nothing here has a test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from steelyard.bench.listeners import read_beat
from steelyard.bench.plan import git_commit, versions
from steelyard.bench.pool import run_jobs
from steelyard.bench.records import write_json
from steelyard.bench.runner import Machine, alone
from steelyard.bench.study import begin, check_same, importances, opened, states
from steelyard.bench.trial import Attempt, Tuning, changes_of, identity_of, run_trial, settings_now
from steelyard.core.errors import SteelyardError

PROGRESS = "trials"
"""Name of the folder of the trials in that of the study."""


class TrialsDisplay(Protocol):
    """What is told while a study runs."""

    def begin(self, trials: int, finished: int) -> None:
        """Before the first trial: how many there shall be and how many were found finished."""
        ...

    def beat(self, number: int, beat: Mapping[str, Any]) -> None:
        """A trial in progress says where it stands."""
        ...

    def end(self, record: Mapping[str, Any] | None, error: str | None) -> None:
        """A trial is over, or could not be done."""
        ...


def tune(plan: Tuning, out: Path, *, machine: Machine, display: TrialsDisplay) -> dict[str, Any]:
    """Do the trials of a study that are not done yet, and sum up all of them.

    A trial that was under way when an earlier call was killed goes on from its checkpoint, with the settings it had.

    Args:
        plan: what to tune, and how.
        out: folder of the study; made when needed.
        machine: how many trials at a time; Ray is not used.
        display: told about progress.

    Returns:
        What `tune.json` holds.

    Raises:
        SteelyardError: the folder belongs to another study or cannot be written, or no trial could be trained.
    """
    with alone(out, "study", PROGRESS):
        with opened(out, minimise=plan.minimise) as study:
            check_same(study, identity_of(plan), out)
            begin(study, settings_now(plan), plan.space)
            over, under_way = states(study)
            jobs, threads = machine.crew(plan.trials, study.user_attrs.get("threads"))
            study.set_user_attr("threads", threads)
        left = max(0, plan.trials - len(over))
        numbers: list[int | None] = [*under_way[:left], *[None] * (left - len(under_way[:left]))]
        attempts = [Attempt(plan, out, number, machine.checkpoint_seconds) for number in numbers]
        display.begin(plan.trials, len(over))
        errors = _run_all(attempts, out, jobs, threads, display)
        with opened(out, minimise=plan.minimise) as study:
            summary = summary_of(study, plan) | {"errors": errors, "jobs": jobs, "threads": threads}
        write_json(out / "tune.json", summary)
    return summary


def _run_all(attempts: Sequence[Attempt], out: Path, jobs: int, threads: int, display: TrialsDisplay) -> list[str]:
    """Run the attempts in worker processes; the reasons of those that could not be done."""
    over = set[int]()
    for path in (out / PROGRESS).glob("*/progress.json"):  # of an attempt before this one
        path.unlink(missing_ok=True)

    def idle() -> None:
        for path in (out / PROGRESS).glob("*/progress.json"):
            number, beat = int(path.parent.name), read_beat(path)
            if beat is not None and number not in over:
                display.beat(number, beat)

    errors = []
    if attempts:
        for outcome in run_jobs(run_trial, attempts, workers=jobs, threads=threads, idle=idle):
            if outcome.error is not None:
                errors.append(str(outcome.error))
                display.end(None, str(outcome.error))
            else:
                over.add(outcome.value["number"])
                display.end(outcome.value, None)
    return errors


def summary_of(study: Any, plan: Tuning) -> dict[str, Any]:
    """The trials of a study and the best of them, as JSON values.

    Raises:
        SteelyardError: no trial went to its end.
    """
    trials = [_row(trial) for trial in study.get_trials(deepcopy=False) if trial.state.name != "WAITING"]
    complete = [row for row in trials if row["state"] == "complete"]
    sign = 1 if plan.minimise else -1
    best = min(complete, key=lambda row: (sign * row["value"], row["number"]), default=None)
    default = next((row for row in complete if row["default"]), None)
    return {
        "data": plan.data,
        "method": plan.method,
        "regime": {"name": plan.regime_name} | plan.regime.settings(),
        "metric": plan.metric,
        "minimise": plan.minimise,
        "select": plan.regime.select,
        "seeds": list(plan.seeds),
        "space": {key: found.text for key, found in plan.space.items()},
        "pruner": plan.pruner,
        "best": None if best is None else best | _written(plan, best["settings"]),
        "default": default,
        "trials": trials,
        "importances": importances(study),
        "versions": versions(),
        "git_commit": git_commit(),
    }


def _row(trial: Any) -> dict[str, Any]:
    attributes = trial.user_attrs
    state = {"COMPLETE": "complete", "PRUNED": "failed" if "reason" in attributes else "pruned"}
    return {
        "number": trial.number,
        "state": state.get(trial.state.name, "unfinished"),
        "value": trial.value if trial.state.name == "COMPLETE" else None,
        "values": attributes.get("values"),
        "settings": attributes.get("settings", {}),
        "default": bool(attributes.get("default")),
        "epochs": len(trial.intermediate_values),
        "seconds": attributes.get("seconds"),
        "reason": attributes.get("reason"),
    }


def _written(plan: Tuning, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The method as text, and what the regime then has otherwise than before."""
    method, _ = plan.tunable.changed(settings)
    return {"written": method, "regime_changes": changes_of(plan, settings)}


def check_finished(summary: Mapping[str, Any]) -> None:
    """Say why where trials could not be done, or none could be trained.

    Raises:
        SteelyardError: that is so.
    """
    errors = summary["errors"]
    if errors:
        raise SteelyardError(f"{len(errors)} trials could not be done, the first because: {errors[0]}")
    if summary["best"] is None:
        reason = next((row["reason"] for row in summary["trials"] if row["reason"]), "all were pruned")
        raise SteelyardError(f"no trial went to its end: {reason}")
