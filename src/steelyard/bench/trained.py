"""The trained models of a comparison, from its folder: the task loaded again, and each method's model with its weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from steelyard.bench.execute import content_of, load_task
from steelyard.bench.records import Run, read_json
from steelyard.core.errors import ArgumentError, CheckpointError, DataError, SteelyardError, UnknownName
from steelyard.core.stage import Steps
from steelyard.core.task import Task, TaskView
from steelyard.settings import dry_run, resolve_method

WEIGHTS = "model.safetensors"
OFF = 0.01
"""Probabilities that differ by more than this from those that were saved are another model's: rounding of other hardware and
other numbers of threads is far below."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Args:
        run: its identity.
        folder: of the run.
    """

    run: Run
    folder: Path

    def log(self) -> list[Record]:
        """The lines of its log, a line an epoch; after an interruption an epoch may be there twice, then the later counts."""
        path = self.folder / "log.jsonl"
        lines: dict[tuple[Any, Any], Record] = {}
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
            try:
                line = json.loads(text)
            except ValueError:
                continue  # the last line of a killed process may be cut short
            lines[(line.get("stage"), line.get("epoch"))] = line
        return list(lines.values())

    def weights(self) -> dict[str, torch.Tensor]:
        """What was saved of the last epoch.

        Raises:
            CheckpointError: missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.folder / WEIGHTS
        try:
            return load_file(path)
        except FileNotFoundError:
            raise CheckpointError(f"its weights are gone: there is no {path}") from None
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} is damaged ({error})") from None


def is_comparison(path: Path) -> bool:
    """Whether a path is the folder of a comparison, or of a run in it."""
    return path.is_dir() and ((path / "comparison.json").is_file() or (path / "run.json").is_file())


def finished(path: Path, *, seed: int | None = None, methods: Sequence[str] | None = None) -> tuple[list[Trained], list[str]]:
    """The finished runs of one seed of a comparison, a method each, in the order of the comparison.

    Args:
        path: the folder of the comparison, or of one run in it.
        seed: whose runs; None for the first seed (of a run's folder: its own).
        methods: names of those that are wanted; None for all.

    Returns:
        The runs, and a sentence for each that is missing.

    Raises:
        SteelyardError: no run, or one asked for by a name or seed that does not occur.
    """
    if not (path / "comparison.json").is_file():
        run = _run(path)
        if seed not in (None, run.seed) or (methods is not None and run.method not in methods):
            raise ArgumentError(
                "--seed and --methods", f"left out, as {path} is one run", f"another than {run.method}, {run.seed}"
            )
        return [Trained(run, path)], []
    facts = read_json(path / "comparison.json")
    seeds, named = [int(one) for one in facts.get("seeds", [])], [str(one["name"]) for one in facts.get("methods", [])]
    chosen = seeds[0] if seed is None and seeds else seed
    if chosen not in seeds:
        raise ArgumentError("--seed", f"one of {', '.join(map(str, seeds))}, which were compared", chosen)
    for name in methods or ():
        if name not in named:
            raise UnknownName("method of this comparison", name, named)
    found: dict[str, Trained] = {}
    for run_id in facts.get("runs", []):
        folder = path / "runs" / str(run_id)
        if (folder / "result.json").is_file():
            run = _run(folder)
            if run.seed == chosen:
                found[run.method] = Trained(run, folder)
    wanted = [name for name in named if methods is None or name in methods]
    missing = [f"{name} has no finished run with seed {chosen}, so it was left out" for name in wanted if name not in found]
    if len(missing) == len(wanted):
        raise SteelyardError(f"no run of the comparison in {path} is finished yet; run its command again to go on")
    return [found[name] for name in wanted if name in found], missing


def seeds_of(path: Path) -> list[int]:
    """The seeds of a comparison that have a finished run, in its order.

    Raises:
        SteelyardError: it is one run, or none of its runs is finished.
    """
    if not (path / "comparison.json").is_file():
        raise ArgumentError("--all-seeds", f"left out, as {path} is one run", "it")
    facts = read_json(path / "comparison.json")
    folders = [path / "runs" / str(run_id) for run_id in facts.get("runs", [])]
    found = list(dict.fromkeys(_run(folder).seed for folder in folders if (folder / "result.json").is_file()))
    if not found:
        raise SteelyardError(f"no run of the comparison in {path} is finished yet; run its command again to go on")
    return found


def _run(folder: Path) -> Run:
    record = read_json(folder / "run.json")
    try:
        return Run.from_json(record)
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"{folder / 'run.json'} does not say what was run; run the comparison again") from None


def task_of(run: Run) -> Task:
    """The task that a run was trained on, loaded again: the same rows in the same splits.

    Raises:
        DataError: the data are gone, or are others than they were.
    """
    settings = {key.removeprefix("problem."): value for key, value in run.settings.items() if key.startswith("problem.")}
    for name in ("drop", "model_settings"):  # written as JSON, since a run's settings are scalars
        if name in settings:
            settings[name] = json.loads(str(settings[name]))
    test = settings.get("test")
    where = "a path is meant from the folder that `steelyard compare` was called in"
    try:
        if run.settings.get("fingerprint") in (None, "", content_of(run.problem, settings)):
            task: Task = load_task(run.problem, json.dumps(settings, sort_keys=True))
            return task
    except SteelyardError as error:
        raise DataError(f"the data of this comparison, '{run.problem}', cannot be loaded again ({error}); {where}") from None
    gone = [str(name) for name in (run.problem, test) if name is not None and not Path(str(name)).exists()]
    if gone:
        raise DataError(f"the data of this comparison are gone: there is no {gone[0]}; {where}")
    raise DataError(
        f"the data of this comparison, '{run.problem}', or files that their settings name, are not what they were when its "
        "models were trained, or are read differently since: put the old ones back, or compare again"
    )


def rebuild(task: Task, trained: Trained) -> nn.Module:
    """The judged model of a finished run, with the weights of its last epoch.

    The method is run without training, which gives a model of the right structure; the weights go into it. Where a method
    decides something by the trained weights (a threshold that is a plain number, say) it is run a second time with them. What
    comes out must give the probabilities of the test rows that the run has saved.

    Args:
        task: of `task_of`.
        trained: the run.

    Raises:
        SteelyardError: weights that do not fit, or a model that says other things about the test rows than the run's did.
    """
    method, weights = resolve_method(trained.run.method), trained.weights()
    dry = dry_run(method, task)
    _load(dry.judged, weights, trained)
    if _agrees(task, dry.judged, trained):
        return dry.judged
    state = {name: value.clone() for name, value in dry.model.state_dict().items()}
    judged = _again(method, task, trained.run.seed, len(dry.stages), state)
    _load(judged, weights, trained)
    if not _agrees(task, judged, trained):
        raise SteelyardError("its model cannot be made again: with the saved weights it gives other probabilities than it gave")
    return judged


def _load(model: nn.Module, weights: Mapping[str, torch.Tensor], trained: Trained) -> None:
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError:
        own, saved = set(model.state_dict()), set(weights)
        odd = sorted(own ^ saved)
        what = f"'{odd[0]}' is in one of them only" if odd else "shapes differ"
        raise CheckpointError(
            f"its saved weights do not fit the model that the method makes now ({what}): was the model or the method changed?"
        ) from None


def _again(method: Callable[[TaskView], Steps], task: Task, seed: int, stages: int, state: Mapping[str, Any]) -> nn.Module:
    """The method run once more without training; after its last stage the model has the trained weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        view = TaskView(task, seed)
        steps = method(view)
        stage, model = next(steps), None
        try:
            for number in range(stages):
                model = stage.model if stage.model is not None else model if model is not None else view.model()
                if number == stages - 1:
                    model.load_state_dict(dict(state))
                stage = steps.send(model)
        except StopIteration as end:
            judged: nn.Module | None = model if end.value is None else end.value
            assert judged is not None
            return judged
    raise SteelyardError("its model cannot be made again: the method has another number of stages each time")


def _agrees(task: Task, model: nn.Module, trained: Trained) -> bool:
    """Whether the model says of the test rows what the run's did; True where the run has not kept that.

    Raises:
        DataError: the test rows are others.
    """
    import numpy as np

    from steelyard.core.measure import predict_proba

    path = trained.folder / "predictions.npz"
    if not path.is_file():
        return True
    with np.load(path) as kept:
        proba, target = kept["proba"], kept["target"]
    found, classes = predict_proba(task, model, "test", "cpu")
    if found.shape != proba.shape or not np.array_equal(classes, target):
        raise DataError(
            "its test rows are others than those that its data give now: were files or versions of libraries changed?"
        )
    return bool(np.abs(found - proba).max(initial=0.0) <= OFF)
