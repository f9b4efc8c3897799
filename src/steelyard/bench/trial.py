"""One trial in this process: settings are asked for, trained with, and judged on validation rows. There is no test split."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from steelyard.bench.execute import load_task
from steelyard.bench.listeners import Heartbeat, Log
from steelyard.bench.ranges import Range
from steelyard.bench.records import to_plain, write_json
from steelyard.bench.search import Tunable
from steelyard.bench.study import ask, opened, optuna, suggest
from steelyard.core.counts import group_classes
from steelyard.core.errors import CheckpointError, DataError, SteelyardError
from steelyard.core.measure import Report
from steelyard.core.regime import Regime
from steelyard.core.roles import Assesses
from steelyard.core.task import Task
from steelyard.metrics import LOWER_IS_BETTER


@dataclass(frozen=True)
class Tuning:
    """One method on one problem, with settings to be chosen.

    Attributes:
        data: a built-in name or a path, as the user gave it.
        method: in canonical spelling.
        regime: as it is before anything is tuned.
        regime_name: where it came from.
        space: ranges by key, see `steelyard.bench.search`.
        trials: how many.
        seeds: each trial trains with all of them; its value is the mean.
        metric: on the validation split.
        problem: further arguments of `steelyard.problems.load`; scalars.
        fingerprint: of the data's content.
        groups: rule of Many / Medium / Few.
        pruner: "median", "hyperband" or "none".
        seed: of what the trials try.
        device: "auto", or a torch device.
    """

    data: str
    method: str
    regime: Regime
    regime_name: str
    space: Mapping[str, Range]
    trials: int
    seeds: tuple[int, ...] = (0,)
    metric: str = "balanced_accuracy"
    problem: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    groups: str = "auto"
    pruner: str = "median"
    seed: int = 0
    device: str = "auto"

    @property
    def minimise(self) -> bool:
        """Is a lower value better?"""
        return self.metric in LOWER_IS_BETTER

    @property
    def tunable(self) -> Tunable:
        """Method and regime as settings."""
        return Tunable(self.method, self.regime, self.regime_name)

    def load(self) -> Task:
        """The task without its test split.

        Raises:
            DataError: it has no validation split.
        """
        return blind(load_task(self.data, json.dumps(dict(self.problem), sort_keys=True)))


def blind(task: Task) -> Task:
    """A task without its test split.

    Raises:
        DataError: it has no validation split to choose by.
    """
    seen = copy.copy(task)
    seen.splits = {name: source for name, source in task.splits.items() if name != "test"}
    if len(seen.splits.get("valid", ())) == 0:
        raise DataError(
            f"data '{task.name}' have no validation rows to choose settings by: cut some from the training rows with "
            "--valid-fraction"
        )
    return seen


@dataclass(frozen=True)
class Attempt:
    """What a worker needs to do a trial.

    Attributes:
        plan: the study.
        folder: of the study.
        number: of a trial that was under way; None for a new one.
        checkpoint_seconds: between checkpoints.
    """

    plan: Tuning
    folder: Path
    number: int | None = None
    checkpoint_seconds: float = 10.0


def folder_of(study: Path, number: int) -> Path:
    """Where a trial keeps its log and, while it is under way, its checkpoints."""
    return study / "trials" / f"{number:04d}"


class Watch(Assesses):
    """Tells the study after every epoch how the trial fares, and ends it where that is hopeless.

    Args:
        trial: of Optuna.
        metric: that the study is about; where an epoch has no such number, balanced accuracy or the loss stands for it.
        epochs: of a stage, to number the epochs of several.
    """

    def __init__(self, trial: Any, metric: str, epochs: int) -> None:
        self.trial, self.metric, self.epochs = trial, metric, epochs
        frozen = trial.study.get_trials(deepcopy=False)[trial.number]
        self._told = set(frozen.intermediate_values)

    def assess(self, report: Report) -> None:
        """Report the epoch's value; raises what ends the trial."""
        value = value_of_epoch(report, self.metric)
        if value is None:
            return
        step = report.stage * self.epochs + report.clock.epoch + 1
        if step not in self._told:  # an epoch that is done again after a kill was told before it
            self._told.add(step)
            self.trial.report(value, step)
        if self.trial.should_prune():
            raise optuna().TrialPruned


def value_of_epoch(report: Report, metric: str) -> float | None:
    """What an epoch has of a metric, or what stands for it: the loss for what should be low, else balanced accuracy."""
    known = {"accuracy": report.accuracy, "macro_f1": report.macro_f1}
    if report.recall is not None:
        seen = report.recall[~report.recall.isnan()].double()
        known["worst_recall"] = float(seen.min())
        known["g_mean"] = float(seen.log().mean().exp())
    value = known.get(metric, report.loss if metric in LOWER_IS_BETTER else report.balanced_accuracy)
    return value if value is not None and math.isfinite(value) else None


def run_trial(attempt: Attempt) -> dict[str, Any]:
    """Do a trial, or go on with it, and return what became of it; the study knows it too.

    Settings that cannot be trained (a loss that is not finite, a combination that is refused, too large a batch) are a result:
    the trial counts as pruned, and the study learns to keep away from them.

    Raises:
        SteelyardError: something else is wrong; the trial stays under way, to be gone on with.
    """
    plan = attempt.plan
    with opened(attempt.folder, minimise=plan.minimise, pruner=plan.pruner, epochs=plan.regime.epochs) as study:
        trial = ask(study, attempt.number, plan.seed)
        values = suggest(trial, plan.space, settings_now(plan))
        folder = folder_of(attempt.folder, trial.number)
        about = {"number": trial.number, "settings": values}
        trial.set_user_attr("settings", to_plain(values))
        write_json(folder / "trial.json", about)
        pruned = optuna().TrialPruned
        try:
            found = _trained(attempt, trial, values, folder)
        except pruned:
            found = {"state": "pruned", "value": None}
        except CheckpointError:
            raise
        except (SteelyardError, MemoryError, torch.OutOfMemoryError) as error:
            reason = str(error) if isinstance(error, SteelyardError) else "out of memory"
            trial.set_user_attr("reason", reason)
            found = {"state": "failed", "value": None, "reason": reason}
        if found["value"] is None:
            study.tell(trial, state=optuna().trial.TrialState.PRUNED)
        else:
            for name in ("values", "seconds"):
                trial.set_user_attr(name, found[name])
            study.tell(trial, found["value"])
    record = about | found
    write_json(folder / "trial.json", record)
    for path in folder.glob("seed-*/checkpoints"):
        shutil.rmtree(path, ignore_errors=True)
    (folder / "progress.json").unlink(missing_ok=True)
    return record


def _trained(attempt: Attempt, trial: Any, values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Train with every seed; the value is the mean over them."""
    from steelyard.core.fit import fit
    from steelyard.settings import resolve_method

    plan, task = attempt.plan, attempt.plan.load()
    method, regime = plan.tunable.changed(values)
    metrics, seconds = [], 0.0
    for place, seed in enumerate(plan.seeds):
        home = folder / f"seed-{seed}"
        listeners: list[object] = [Log(home / "log.jsonl"), Heartbeat(folder / "progress.json")]
        if place == 0:  # later seeds make a value surer; what is hopeless shows with the first
            listeners.append(Watch(trial, plan.metric, plan.regime.epochs))
        fitted = fit(
            task,
            resolve_method(method),
            regime,
            seed=seed,
            listeners=listeners,
            folder=home / "checkpoints",
            device=plan.device,
            checkpoint_seconds=attempt.checkpoint_seconds,
        )
        metrics.append(_validated(task, fitted.model, plan))
        seconds += fitted.seconds
    found = [numbers[plan.metric] for numbers in metrics]
    write_json(folder / "metrics.json", {str(seed): numbers for seed, numbers in zip(plan.seeds, metrics, strict=True)})
    return {"state": "complete", "value": fmean(found), "values": to_plain(found), "seconds": seconds}


def _validated(task: Task, model: torch.nn.Module, plan: Tuning) -> dict[str, float]:
    """Every metric of the judged model on the validation split."""
    from steelyard.core.measure import further_metrics, predict_proba
    from steelyard.metrics import evaluate

    proba, target = predict_proba(task, model, "valid", plan.device)
    values = evaluate(proba, target, class_counts=task.counts, groups=group_classes(task.counts, plan.groups)).values
    return values | further_metrics(task, model, "valid", plan.device)


def check_metric(task: Task, plan: Tuning) -> None:
    """Refuse a metric that these validation rows cannot give, whatever the model.

    Raises:
        DataError: it is undefined on them.
    """
    import numpy as np

    from steelyard.metrics import evaluate

    if plan.metric in task.own_metrics:
        return  # nothing but the model's answers could tell
    target = task.splits["valid"].target.numpy()
    proba = np.full((len(target), task.num_classes), 1 / task.num_classes)
    value = evaluate(proba, target, class_counts=task.counts, groups=group_classes(task.counts, plan.groups)).values[
        plan.metric
    ]
    if not math.isfinite(value):
        raise DataError(
            f"metric '{plan.metric}' is undefined on the validation rows of '{task.name}' (a class or group has none): choose "
            "another --metric, or more rows with --valid-fraction"
        )


def identity_of(plan: Tuning) -> dict[str, str]:
    """What makes two studies the same: everything that its values depend on, by a name for messages. Not how many trials."""
    from steelyard.core.identity import code_of
    from steelyard.settings import resolve_method

    about = {"data": plan.data, "method": plan.method, "regime": plan.regime_name, "metric": plan.metric}
    about |= {f"range of {key}": found.text for key, found in plan.space.items()}
    about |= {f"regime.{key}": json.dumps(value) for key, value in plan.regime.settings().items()}
    about |= {f"setting of the data `{key}`": json.dumps(value) for key, value in plan.problem.items()}
    about |= {"content of the data": plan.fingerprint, "groups": plan.groups, "pruner": plan.pruner}
    about |= {"seeds": ",".join(map(str, plan.seeds)), "--seed": str(plan.seed)}
    about["code of the method"] = code_of(resolve_method(plan.method)) if ":" in plan.method else ""
    return about


def settings_now(plan: Tuning) -> dict[str, Any]:
    """What each setting of the space is before it is tuned."""
    return {key: plan.tunable.settings[key].value for key in plan.space}


def changes_of(plan: Tuning, values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the regime that differ from those before tuning."""
    _, regime = plan.tunable.changed(values)
    fields = [item.name for item in dataclasses.fields(Regime)]
    return {name: getattr(regime, name) for name in fields if getattr(regime, name) != getattr(plan.regime, name)}
