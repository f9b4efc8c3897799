"""The trials of a study in `study.db`: asked for, told, and taken up again where a kill left them."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from steelyard.bench.ranges import Range
from steelyard.core.errors import CheckpointError, SteelyardError
from steelyard.core.seeds import derive
from steelyard.settings.text import format_value

PRUNERS = ("median", "hyperband", "none")
FILE = "study.db"
STARTUP_TRIALS = 10
"""Drawn at random before past trials are learnt from."""
LOCK_SECONDS = 60.0
"""How long a process waits for another one's write."""


def optuna() -> Any:
    """The library.

    Raises:
        SteelyardError: it is not installed; the message names the extra.
    """
    try:
        import optuna as library
    except ImportError:
        raise SteelyardError("`steelyard tune` needs the package optuna: pip install 'steelyard[tune]'") from None
    library.logging.set_verbosity(logging.ERROR)
    return library


@contextmanager
def opened(folder: Path, *, minimise: bool, pruner: str = "none", epochs: int = 1) -> Iterator[Any]:
    """The study of a folder, made when needed.

    Args:
        folder: holds `study.db`.
        minimise: is a lower value better?
        pruner: "median", "hyperband" or "none".
        epochs: of a trial, for the pruner.

    Raises:
        CheckpointError: the file is damaged, no study, in use, or cannot be written.
    """
    library = optuna()
    path = folder / FILE
    # The path does not go through a URL, which would read some of its characters otherwise.
    connect = partial(sqlite3.connect, path, timeout=LOCK_SECONDS)
    storage = None
    try:
        storage = library.storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})
        yield library.create_study(
            storage=storage,
            study_name="steelyard",
            direction="minimize" if minimise else "maximize",
            pruner=_pruner(library, pruner, epochs),
            load_if_exists=True,
        )
    except Exception as error:
        reason = _of_the_file(error)
        if reason is None:
            raise
        raise CheckpointError(
            f"study {path} cannot be used ({reason}); choose another folder, or delete it to start anew"
        ) from None
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _of_the_file(error: BaseException | None) -> str | None:
    """What SQLite said, somewhere behind an error; None where it said nothing."""
    while error is not None and not isinstance(error, sqlite3.Error):
        error = error.__cause__ or error.__context__
    return None if error is None else str(error)


def _pruner(library: Any, name: str, epochs: int) -> Any:
    if name == "median":
        return library.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, epochs // 4))
    if name == "hyperband":
        return library.pruners.HyperbandPruner(min_resource=max(1, epochs // 9), max_resource=epochs, reduction_factor=3)
    return library.pruners.NopPruner()


def check_same(study: Any, identity: Mapping[str, str], folder: Path) -> None:
    """Write down what a new study is of; refuse a folder that holds another one's.

    Raises:
        CheckpointError: the folder belongs to another study; says in what it differs.
    """
    before = study.user_attrs.get("identity")
    if before is None:
        study.set_user_attr("identity", dict(identity))
        return
    changed = [name for name in {**before, **identity} if before.get(name) != identity.get(name)]
    if changed:
        first = changed[0]
        differs = f"its {first} is {_short(before.get(first))}, here {_short(identity.get(first))}"
        raise CheckpointError(
            f"folder {folder} holds another study ({differs}): choose another folder, or delete it to start anew"
        )


def _short(value: str | None) -> str:
    return "not set" if value is None else f"'{value if len(value) <= 60 else value[:57] + '...'}'"


def begin(study: Any, now: Mapping[str, Any], space: Mapping[str, Range]) -> None:
    """Put the settings as they are first in line, in a study that has no trial yet.

    Args:
        study: of the folder.
        now: what each setting of the space is; what its range does not hold is tried all the same.
        space: the ranges.
    """
    if not study.get_trials(deepcopy=False):
        inside = {key: _stored(space[key], value) for key, value in now.items() if space[key].holds(value)}
        study.enqueue_trial(inside, user_attrs={"default": True})


def _stored(found: Range, value: Any) -> Any:
    """How a value stands in the file: numbers as they are, values of a list as text."""
    return format_value(value) if found.values else value


def states(study: Any) -> tuple[list[int], list[int]]:
    """Numbers of the trials that are over, and of those that were under way; the folder's lock says that nobody is at them."""
    over, under_way = list[int](), list[int]()
    for trial in study.get_trials(deepcopy=False):
        if trial.state.is_finished():
            over.append(trial.number)
        elif trial.state.name == "RUNNING":
            under_way.append(trial.number)
    return over, under_way


def ask(study: Any, number: int | None, seed: int) -> Any:
    """A new trial, or one that was under way.

    What it will try depends on the trials before it, on its number and on `seed`, and not on the process that asks.
    """
    library = optuna()
    if number is None:
        trial = study.ask()
    else:
        trial = library.trial.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
    stream = derive(seed, "tune", trial.number) % 2**32
    study.sampler = library.samplers.TPESampler(seed=stream, n_startup_trials=STARTUP_TRIALS)
    return trial


def suggest(trial: Any, space: Mapping[str, Range], now: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a trial, by key; those of the first are the settings as they are."""
    values, default = dict[str, Any](), bool(trial.user_attrs.get("default"))
    for key, found in space.items():
        if default and not found.holds(now[key]):
            values[key] = now[key]
        elif found.values:
            texts = [format_value(value) for value in found.values]
            values[key] = found.values[texts.index(trial.suggest_categorical(key, texts))]
        elif found.whole:
            values[key] = trial.suggest_int(key, int(found.ends[0]), int(found.ends[1]), log=found.log)
        else:
            drawn = trial.suggest_float(key, found.low, found.high, log=found.log)
            values[key] = drawn if default else found.rounded(drawn)
    return values


def importances(study: Any) -> dict[str, float] | None:
    """The share of the values' variance that each setting explains (fANOVA); None where there are too few trials to say.

    Only trials that went to their end count.
    """
    library = optuna()
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    if len(complete) < STARTUP_TRIALS or len({trial.value for trial in complete}) < 2:
        return None
    try:
        evaluator = library.importance.FanovaImportanceEvaluator(seed=0)
        found = library.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError):  # no setting differs between those trials
        return None
    return {key: float(value) for key, value in found.items()}
