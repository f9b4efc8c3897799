"""What methods refuse, they refuse here: before anything is trained, not after the others have been."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from itertools import islice

import torch

from steelyard.core.errors import CombinationError, SteelyardError
from steelyard.core.oracle import Oracle
from steelyard.core.roles import playing
from steelyard.core.rows import Batch, Clock
from steelyard.core.sampler import Sampler
from steelyard.core.seeds import derive, generator
from steelyard.core.stage import Stage
from steelyard.core.task import Task, TaskView
from steelyard.settings import kind_of_method, resolve_method
from steelyard.settings.recipe import Recipe

ROWS = 16
"""Rows that a method's words are tried on."""
LATE = Clock(epoch=9, epochs=10)
"""The last of ten epochs, when what is deferred has begun."""


def check_kinds(methods: Iterable[str], kind: str | None) -> None:
    """Refuse methods that work on another kind of data.

    Args:
        methods: as typed.
        kind: of the data; None refuses none, as long as that is not known.

    Raises:
        CombinationError: names every such method, and what it works on.

    Example:
        >>> check_kinds(["ce", "la(tau=2)"], "graphs")
        >>> check_kinds(["ce", "soul"], "graphs")
        Traceback (most recent call last):
        ...
        steelyard.core.errors.CombinationError: method 'soul' works on points, and the data are graphs: leave it out
    """
    others = {name: of for name in methods if (of := _kind_of(resolve_method(name))) not in ("", kind)}
    if kind is None or not others:
        return
    if len(others) == 1:
        ((name, of),) = others.items()
        raise CombinationError(f"method '{name}' works on {of}, and the data are {kind}: leave it out")
    named = _listed([f"'{name}' on {of}" for name, of in others.items()])
    raise CombinationError(f"methods work on other data than these, which are {kind}: {named}; leave them out")


def rehearse(task: Task, methods: Iterable[str], seed: int = 0) -> None:
    """Let every method say what it would train first, take the gradient of a few rows that way, and train nothing.

    A method checks its settings, and whether it can work on such data, before its first stage; its words, of which a user may
    combine any, do so when they see rows and a model. What they say is wrong keeps a whole comparison from being begun. An
    error that is none of ours may have to do with this process alone (its memory, say), so it is left to the run, which keeps
    its traceback.

    Args:
        task: what would be trained on.
        methods: as typed.
        seed: of a run.

    Raises:
        SteelyardError: a method refuses its settings, the data or the model; names the method.

    Example:
        >>> from steelyard.problems import load
        >>> rehearse(load("blobs"), ["ce", "la"])
        >>> try:
        ...     rehearse(load("blobs"), ["ce", "crt(head_epochs=0)"])
        ... except SteelyardError as error:
        ...     print(error)
        method 'crt(head_epochs=0)': argument `head_epochs` should be a number of epochs, at least 1; found 0
    """
    recipes = [resolve_method(name) for name in methods]
    check_kinds([recipe.name for recipe in recipes], task.kind)
    for recipe in recipes:
        _begin(task, recipe, seed)


def _begin(task: Task, recipe: Recipe, seed: int) -> None:
    """The first stage of a method, its sampler, and a gradient, as `fit` would begin."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run says them again
        torch.manual_seed(derive(seed, "start"))
        try:
            steps = recipe(TaskView(task, seed))
            stage = next(steps)
            where = task if stage.task is None else stage.task
            sampler = stage.sampler(where.splits["train"].target, seed=derive(seed, "order", 0), rank=0, world_size=1)
            steps.close()
            _descend(where, stage, sampler)
        except SteelyardError as error:
            named = any(part.name.partition("(")[0] in str(error) for part in _parts(recipe))
            raise SteelyardError(str(error) if named else f"method '{recipe.name}': {error}") from None
        except Exception:
            return


def _descend(task: Task, stage: Stage, sampler: Sampler) -> None:
    """The gradient of a few rows, taken as the stage would late in training; it goes nowhere."""
    model = task.model() if stage.model is None else stage.model
    source, draws = task.splits["train"], generator(0, "rehearsal")
    oracle = Oracle(model.train(), task.forward, stage.objective, draws=draws)
    try:
        oracle.clock = LATE
        oracle.read = lambda inputs: task.load(inputs, augment="none", generator=draws)
        oracle.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        index, inputs = next(iter(source.stream(islice(sampler.batches(ROWS, LATE), 1))))
        batch = stage.transform(oracle, Batch(oracle.read(inputs), source.target[index], index))
        for part in playing([stage.objective, stage.transform, stage.descent]).preparing:
            part.prepare(oracle, batch)
        stage.descent(oracle, batch)
    finally:
        oracle.close()
        model.zero_grad()


def _kind_of(recipe: Recipe) -> str:
    """The kind of data that a method, or one of its parts, is for; "" for any."""
    return next((of for part in _parts(recipe) if (of := kind_of_method(part.name))), "")


def _parts(recipe: Recipe) -> Sequence[Recipe]:
    return recipe.parts or (recipe,)


def _listed(items: Sequence[str]) -> str:
    return f"{', '.join(items[:-1])} and {items[-1]}"
