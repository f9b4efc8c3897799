"""One run in this process: load, train, judge on the test split, write the result."""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from steelyard.bench.listeners import Heartbeat, Log
from steelyard.bench.plan import git_commit, versions
from steelyard.bench.records import Run, write_json
from steelyard.core.atomic import write_atomically
from steelyard.core.counts import group_classes
from steelyard.core.errors import DataError, SteelyardError
from steelyard.core.regime import Regime

INTERVALS = ("accuracy", "balanced_accuracy", "macro_f1", "worst_recall", "many_recall", "medium_recall", "few_recall", "auprc")

FIGURES = "figures.json"
"""Pictures of a run, beside its result: only the report reads them, and thousands of points do not belong in a row."""


@dataclass(frozen=True)
class Order:
    """What a worker needs to do a run.

    Attributes:
        run: its identity.
        regime: the recipe.
        problem: arguments of `steelyard.problems.load`.
        groups: rule of Many / Medium / Few.
        device: where.
        folder: the run's own.
        checkpoint_seconds: between checkpoints.
        loggers: names of further loggers.
    """

    run: Run
    regime: Regime
    problem: Mapping[str, Any]
    groups: str
    device: str
    folder: Path
    checkpoint_seconds: float = 10.0
    loggers: tuple[str, ...] = ()


def execute(order: Order) -> dict[str, Any]:
    """Do a run, or go on with it, and return its record; the record is also in `result.json`, written last.

    Raises:
        SteelyardError: the run cannot be done; a bug's traceback is kept in `error.txt` of the run's folder.
    """
    try:
        return _execute(order)
    except SteelyardError:
        raise
    except Exception:
        with suppress(OSError):  # a full disk must not hide what went wrong
            order.folder.mkdir(parents=True, exist_ok=True)
            (order.folder / "error.txt").write_text(traceback.format_exc())
        raise


def _execute(order: Order) -> dict[str, Any]:
    import torch

    from steelyard.core.fit import clear_stages, fit
    from steelyard.core.loggers import open_loggers
    from steelyard.core.memory import release
    from steelyard.settings import resolve_method

    run, folder = order.run, order.folder
    task = load_task(run.problem, json.dumps(dict(order.problem), sort_keys=True))
    if "test" not in task.splits:
        raise DataError(f"data '{task.name}' have no test split to judge on")
    write_json(folder / "run.json", run.to_json() | {"id": run.id})
    started = _now()
    groups = group_classes(task.counts, order.groups)
    recorders = open_loggers(order.loggers, folder, run.to_json(), groups)
    listeners = [Log(folder / "log.jsonl", groups), Heartbeat(folder / "progress.json"), *recorders]
    release()  # what the run before left must not count in this one's peak memory
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        fitted = fit(
            task,
            resolve_method(run.method),
            order.regime,
            seed=run.seed,
            listeners=listeners,
            folder=folder / "checkpoints",
            device=order.device,
            checkpoint_seconds=order.checkpoint_seconds,
        )
    for recorder in recorders:
        recorder.close()
    record = run.to_json() | {
        "run_id": run.id,
        "seconds": fitted.seconds,
        "steps": fitted.steps,
        "seconds_per_step": typical_step(fitted.history),
        "peak_memory_mb": fitted.peak_memory_mb,
        "selected_epoch": fitted.selected_epoch,
        "epochs": len(fitted.history),
        "explanations": {part: _without_figures(told) for part, told in fitted.explanations.items()},
        "versions": versions(),
        "git_commit": git_commit(),
        "device": _device_in_words(order.device),
        "threads": torch.get_num_threads(),
        "started_at": started,
        "finished_at": _now(),
        "folder": folder.name,
        "warnings": sorted({str(w.message) for w in heard if issubclass(w.category, UserWarning)}),
    }
    record |= _judge(task, fitted, order)
    write_json(folder / "result.json", record)
    clear_stages(folder / "checkpoints")
    (folder / "progress.json").unlink(missing_ok=True)
    return record


def _device_in_words(device: str) -> str:
    """Which device that was, in this process: "cpu", "cuda:0 (NVIDIA H200)"."""
    import torch

    from steelyard.core.world import local_device

    where = local_device(device)
    return f"{where} ({torch.cuda.get_device_name(where)})" if where.type == "cuda" else str(where)


@lru_cache(maxsize=1)
def load_task(data: str, problem: str) -> Any:
    """The task of a comparison, or of a study, from its name and its settings as JSON; a worker's runs share it."""
    from steelyard.problems import ProblemSettings, load

    return load(data, ProblemSettings(**json.loads(problem)))


def content_of(data: str, problem: Mapping[str, Any]) -> str:
    """Fingerprint of the data of a comparison and of all that their settings name beside them."""
    from steelyard.problems import ProblemSettings, fingerprint

    return fingerprint(data, ProblemSettings(**problem))


def _judge(task: Any, fitted: Any, order: Order) -> dict[str, Any]:
    """Test numbers of the last and of the selected epoch; saves the last epoch's probabilities and weights."""
    import numpy as np
    from safetensors.torch import save

    from steelyard.core.measure import further_metrics, predict_proba
    from steelyard.metrics import intervals

    groups = group_classes(task.counts, order.groups)
    proba, target = predict_proba(task, fitted.use("last"), "test", order.device)
    scores = _scores(proba, target, task, groups)
    further = further_metrics(task, fitted.use("last"), "test", order.device)
    parts: dict[str, Any] = {
        "metrics": scores.values | further,
        "intervals": {name: list(pair) for name, pair in intervals(proba, target, metrics=INTERVALS, groups=groups).items()},
        "per_class": scores.per_class,
        "confusion": np.asarray(scores.confusion).tolist(),
        "reliability": scores.reliability,
        "notes": list(scores.notes),
        "selected_metrics": None,
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, target=target, proba=proba.astype(np.float32))
    write_atomically(order.folder / "predictions.npz", buffer.getvalue())
    weights = {name: value.contiguous().cpu() for name, value in fitted.model.state_dict().items()}
    stored = save(_unshared(weights))
    write_atomically(order.folder / "model.safetensors", stored)
    parts["model_sha256"] = hashlib.sha256(stored).hexdigest()
    if figures := _figures(task, fitted, proba, target):
        write_json(order.folder / FIGURES, figures)
    if fitted.selected_epoch is not None:
        proba, target = predict_proba(task, fitted.use("best_valid"), "test", order.device)
        further = further_metrics(task, fitted.use("best_valid"), "test", order.device)
        parts["selected_metrics"] = _scores(proba, target, task, groups).values | further
    return parts


def _figures(task: Any, fitted: Any, proba: Any, target: Any) -> dict[str, Any]:
    """Pictures for the report, of the task and of the method's parts, by their names."""
    found = dict(task.figures(proba, target))
    for told in fitted.explanations.values():
        found |= told.get("figures", {})
    return found


def _without_figures(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name != "figures"}


def _unshared(weights: dict[str, Any]) -> dict[str, Any]:
    """Tied weights as copies: safetensors refuses tensors that share memory."""
    return {name: value.clone() for name, value in weights.items()}


def _scores(proba: Any, target: Any, task: Any, groups: Any) -> Any:
    from steelyard.metrics import evaluate

    return evaluate(proba, target, class_counts=task.counts, groups=groups)


def typical_step(history: Sequence[Mapping[str, Any]]) -> float | None:
    """Median over the epochs of the seconds a step took: other work on the machine disturbs some epochs, seldom most.

    The first epoch pays for warming up (memory, compiled kernels) and is left out where there are others.

    Args:
        history: lines with `stage`, `step` (steps of the stage so far) and `seconds` (training so far).

    Example:
        >>> typical_step([{"stage": 0, "step": 10, "seconds": 5.0}, {"stage": 0, "step": 20, "seconds": 6.0}])
        0.1
    """
    paces, stage, step, seconds = [], None, 0, 0.0
    for line in history:
        before = step if line["stage"] == stage else 0
        paces.append((line["seconds"] - seconds) / max(line["step"] - before, 1))
        stage, step, seconds = line["stage"], line["step"], line["seconds"]
    return median(paces[1:] or paces) if paces else None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
