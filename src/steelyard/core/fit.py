"""A method on a task under a regime: its stages one after another, with resume bit for bit."""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from steelyard.core.atomic import write_atomically
from steelyard.core.checkpoint import (
    Checkpoints,
    DamagedCheckpointWarning,
    checksum_of,
    load_state,
    save_state,
)
from steelyard.core.errors import ArgumentError, CheckpointError
from steelyard.core.identity import check_structure, run_identity, structure_of
from steelyard.core.memory import peak_mb, reset_peak
from steelyard.core.regime import Regime
from steelyard.core.roles import ROLES, explanations
from steelyard.core.seeds import derive
from steelyard.core.stage import Method, Stage
from steelyard.core.task import Task, TaskView
from steelyard.core.train import Session, stage_parts, train
from steelyard.core.world import join, local_device


@dataclass
class Fitted:
    """A trained model and how it came about.

    Attributes:
        task: what it was trained on.
        model: what is judged, with the weights that the regime's `select` names.
        history: a line an epoch: losses, validation numbers, learning rate, seconds.
        steps: optimiser steps.
        seconds: training time, without measuring and set-up.
        peak_memory_mb: peak memory in MiB.
        selected_epoch: epoch (from 1, of the last stage) with the best validation balanced accuracy; None without one.
        explanations: what the parts that play `Explains` have learnt, by their paths in the stage ("objective.weighting"); of
            the last stage that has such parts.
    """

    task: Task
    model: nn.Module
    history: list[dict[str, Any]]
    steps: int
    seconds: float
    peak_memory_mb: float
    selected_epoch: int | None = None
    explanations: dict[str, dict[str, Any]] = field(default_factory=dict)
    _trained: nn.Module | None = field(default=None, repr=False)
    _states: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    def use(self, which: Literal["last", "best_valid"]) -> nn.Module:
        """Put the weights of the last, or of the best validation epoch, in place and return the judged model.

        Raises:
            ArgumentError: there was no validation split to select with.
        """
        if which not in self._states:
            raise ArgumentError("which", " or ".join(map(repr, self._states)) + " (no validation split was given)", repr(which))
        if self._trained is not None:
            self._trained.load_state_dict(self._states[which])
        return self.model


def fit(
    task: Task,
    method: Method,
    regime: Regime,
    *,
    seed: int = 0,
    listeners: Iterable[object] = (),
    folder: Path | str | None = None,
    device: str | torch.device = "auto",
    checkpoint_seconds: float = 10.0,
) -> Fitted:
    """Train a model of a task with a method under a regime.

    The global random state of torch is left as it was. With `folder`, training is saved there and a later call with the same
    arguments goes on from it: the result has the same bits as that of an uninterrupted run on the same device with the same
    number of threads.

    Args:
        task: data, model and forward pass.
        method: generator function of stages.
        regime: the recipe.
        seed: of initial weights, data order, augmentation and everything else drawn.
        listeners: objects with roles (`Assesses`, `Observes`, `Prepares`): progress bars, loggers.
        folder: for checkpoints; None keeps nothing.
        device: "auto", or a torch device.
        checkpoint_seconds: time between checkpoints in the middle of an epoch.

    Raises:
        ArgumentError: a listener plays no role, or the regime needs a validation split and there is none.
        CheckpointError: the folder holds another run, or cannot be written.
        TrainingError: the loss is not finite.
    """
    world, where, seed = join(), local_device(device), operator.index(seed)
    listeners = check_listeners(listeners)
    _check_validation(task, regime)
    store = None if folder is None else writable_folder(Path(folder))
    identity = "" if store is None else run_identity(task, method, regime, seed, world.size)
    checkpoints = None if store is None else Checkpoints(store)
    session = Session(task, regime, seed, where, world, listeners, checkpoints, checkpoint_seconds, identity)
    cuda = [where] if where.type == "cuda" else []
    reset_peak(where)
    with torch.random.fork_rng(devices=cuda), _reproducible(where):
        trained, judged, best, learnt = _run_stages(session, method, store)
    states = {"last": copy.deepcopy(trained.state_dict())}
    if best is not None:
        states["best_valid"] = best["state"]
    epoch = None if best is None else int(best["epoch"])
    fitted = Fitted(
        task, judged, session.history, session.steps, session.seconds, peak_mb(where), epoch, learnt, trained, states
    )
    if regime.select in states:
        fitted.use(regime.select)  # type: ignore[arg-type]
    return fitted


def check_listeners(listeners: Iterable[object]) -> tuple[object, ...]:
    """The listeners, if each plays a role.

    Raises:
        ArgumentError: one would never be called.
    """
    expected = "a list of objects with roles (subclasses of Assesses, Observes or Prepares of steelyard.core.roles)"
    if not isinstance(listeners, Iterable):
        raise ArgumentError("listeners", expected, f"one {type(listeners).__name__}")
    given = tuple(listeners)
    for listener in given:
        if not isinstance(listener, ROLES):
            raise ArgumentError("listeners", expected, f"a {type(listener).__name__}, which would never be called")
    return given


def _check_validation(task: Task, regime: Regime) -> None:
    valid = task.splits.get("valid")
    if valid is not None and len(valid) > 0:
        return
    for name, asked in (("patience", regime.patience is not None), ("select", regime.select == "best_valid")):
        if asked:
            found = f"{getattr(regime, name)!r} for '{task.name}', which has no validation split"
            raise ArgumentError(f"regime.{name}", "left at its default where there are no validation rows to go by", found)


def writable_folder(folder: Path) -> Path:
    """Make a folder and find out before training, not after it, whether it can be written to.

    Raises:
        CheckpointError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", b"")
        (folder / ".writable").unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"folder {folder} cannot be made ({error.strerror or error}): choose another") from error
    return folder


def _run_stages(
    session: Session, method: Method, store: Path | None
) -> tuple[nn.Module, nn.Module, dict[str, Any] | None, dict[str, Any]]:
    """Returns the trained model, the judged one (which may wrap it), the best epoch of the last stage, and explanations."""
    view = TaskView(session.task, session.seed, session.device)
    torch.manual_seed(derive(session.seed, "start"))
    steps = method(view)
    learnt: dict[str, Any] = {}
    stage, model = next(steps), None
    done = _finished_stages(session, store)
    resume = session.checkpoints.newest() if session.checkpoints is not None else None
    _same_run(resume, session, store)
    for number in count():
        if stage.model is not None:
            model = stage.model.to(session.device)
        elif model is None:
            model = view.model()
        if done:
            best = _replay(session, stage, model, done.pop(0))
        else:
            here = resume if resume is not None and resume["stage"] == number else None
            best = train(session, stage, model, number, here)
            _save_finished(session, store, stage, model, number, best)
        learnt = explanations(stage_parts(stage)) or learnt
        torch.manual_seed(derive(session.seed, "between", number))
        try:
            stage = steps.send(model)
        except StopIteration as end:
            judged: nn.Module = model if end.value is None else end.value
            return model, judged.to(session.device), best, learnt
    raise AssertionError("unreachable: count() does not end")


def _save_finished(
    session: Session, store: Path | None, stage: Stage, model: nn.Module, number: int, best: dict[str, Any] | None
) -> None:
    if store is None or session.world.rank != 0:
        return
    state = {
        "identity": session.identity,
        "structure": structure_of(model),
        "model": model.state_dict(),
        "parts": {name: part.state_dict() for name, part in stage_parts(stage).items()},
        "best": best,
        "steps": session.steps,
        "seconds": session.seconds,
        "history": session.history,
    }
    save_state(_stage_file(store, number), state)
    Checkpoints(store).clear()


def _finished_stages(session: Session, store: Path | None) -> list[dict[str, Any]]:
    """The saved outcomes of the first stages; a damaged one is named, and training goes on from before it."""
    done: list[dict[str, Any]] = []
    while store is not None and _stage_file(store, len(done)).exists():
        try:
            state = load_state(_stage_file(store, len(done)))
        except CheckpointError as error:
            warnings.warn(f"{error}; this stage is trained again", DamagedCheckpointWarning, stacklevel=2)
            break
        _same_run(state, session, store)
        done.append(state)
    return done


def _replay(session: Session, stage: Stage, model: nn.Module, state: dict[str, Any]) -> dict[str, Any] | None:
    """Put a finished stage's outcome in place: the model, and what its parts have learnt, as a later stage may use them."""
    check_structure(state, model)
    model.load_state_dict(state["model"])
    for name, part in stage_parts(stage).items():
        part.to(session.device).load_state_dict(state["parts"][name])
    session.steps, session.seconds, session.history = state["steps"], state["seconds"], list(state["history"])
    best: dict[str, Any] | None = state["best"]
    return best


def _stage_file(store: Path, number: int) -> Path:
    return store / f"stage-{number}.pt"


def clear_stages(store: Path) -> None:
    """Remove the saved outcomes of finished stages: the run's result is written elsewhere."""
    for path in store.glob("stage-*.pt"):
        path.unlink(missing_ok=True)
        checksum_of(path).unlink(missing_ok=True)


def _same_run(state: dict[str, Any] | None, session: Session, store: Path | None) -> None:
    if state is not None and state["identity"] != session.identity:
        raise CheckpointError(
            f"folder {store} holds the checkpoints of another run (other data, method or code of it, regime, seed or number of "
            "processes): choose another folder, or delete it to start anew"
        )


class _reproducible(AbstractContextManager[None]):
    """On a GPU, let cuDNN choose only algorithms that give the same bits each time; elsewhere nothing to do."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"

    def __enter__(self) -> None:
        if self._cuda:
            flags = torch.backends.cudnn
            self._before = (flags.deterministic, flags.benchmark)
            flags.deterministic, flags.benchmark = True, False

    def __exit__(self, *_: object) -> None:
        if self._cuda:
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = self._before
