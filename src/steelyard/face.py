"""What `steelyard.fit` and `steelyard.evaluate` do: any data, any model, a named method and regime, in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from steelyard.core.counts import group_classes
from steelyard.core.errors import ArgumentError
from steelyard.core.fit import Fitted, check_listeners, writable_folder
from steelyard.core.fit import fit as fit_task
from steelyard.core.regime import Regime
from steelyard.core.stage import Steps
from steelyard.core.task import Task
from steelyard.core.world import launch

if TYPE_CHECKING:
    from steelyard.metrics import Scores


def fit(
    data: Any,
    target: Any = None,
    *,
    method: str | Callable[..., Steps] = "la",
    regime: str | Regime = "auto",
    model: str | nn.Module | Callable[..., nn.Module] = "auto",
    seed: int = 0,
    out: Path | str | None = None,
    device: str = "auto",
    processes: int = 1,
    loggers: Sequence[str] = (),
    listeners: Iterable[object] = (),
    **problem: Any,
) -> Fitted:
    """Train a model on data with a named method and regime.

    Args:
        data: a built-in name, a path, X as a NumPy array, torch tensor or DataFrame, a torch Dataset, or a `Task`.
        target: the labels `[N]` of X, or the name of the column that holds them, where the data are a table.
        method: a name ("la", "ldam-drw", "la(tau=1.5)", "ldam+drw"), or a generator function of a task view.
        regime: a name ("short", "cosine200(epochs=100)"), a `Regime`, or "auto" for the usual one for such data.
        model: a name ("resnet32", "timm:vit_tiny_patch16_224"), a module, a factory of modules, or "auto". A module that is
            passed in is copied: it is not changed.
        seed: of initial weights, data order, augmentation and all else that is drawn.
        out: folder for checkpoints and logs; the same call again goes on from there, bit for bit.
        device: "auto", "cpu", "cuda", ...
        processes: local processes that train together; each takes its share of every batch. What they are given (methods,
            models, listeners) must be importable, as always with Python's processes.
        loggers: of "csv", "tensorboard", "mlflow", "wandb"; need `out`.
        listeners: objects with roles (`Assesses`, `Observes`, `Prepares`). With several processes each has copies, which do
            not come back.
        problem: further arguments of `steelyard.problems.load` (factor, profile, test, drop, missing, valid_fraction, ...).

    Returns:
        The trained model with its history; `steelyard.evaluate` judges it on the test split.

    Raises:
        SteelyardError: anything wrong with data, names or settings, in one sentence.

    Example:
        >>> import steelyard as sy
        >>> fitted = sy.fit("digits", method="la", factor=50, regime=sy.Regime(epochs=2, lr=0.05))
        >>> len(fitted.history)
        2
    """
    from steelyard.core.loggers import check_loggers
    from steelyard.problems import load
    from steelyard.settings import resolve_method, resolve_regime

    _refuse_recipe(problem)
    recipe = resolve_method(method)
    if target is not None and not isinstance(target, str):
        data, target = (data, target), None
    if isinstance(data, Task):
        if problem or target is not None or model != "auto":
            given = [*problem, *(["target"] if target is not None else []), *(["model"] if model != "auto" else [])]
            raise ArgumentError(given[0], "left out, since a Task brings its own data and model", "a Task and this argument")
        task = data
    else:
        task = load(data, target=target, model=model, **problem)
    chosen = resolve_regime(task.usual_regime if regime == "auto" else regime)
    check_loggers(loggers)
    if loggers and out is None:
        raise ArgumentError("out", "a folder for the loggers to write to", "none")
    arguments = (task, recipe, chosen, seed, out, device, tuple(loggers), check_listeners(listeners))
    fitted: Fitted = launch(_train, processes, *arguments)
    return fitted


def _refuse_recipe(problem: dict[str, Any]) -> None:
    """Say where settings of the training recipe belong."""
    for name in problem:
        if name in Regime.__dataclass_fields__:
            expected = f"a setting of the regime: regime=sy.Regime({name}=...), or by name as in regime='short({name}=...)'"
            raise ArgumentError(name, expected, "an argument of its own")


def _train(
    task: Task,
    recipe: Any,
    regime: Regime,
    seed: int,
    out: Path | str | None,
    device: str,
    loggers: tuple[str, ...],
    listeners: tuple[object, ...],
) -> Fitted:
    from steelyard.core.loggers import open_loggers
    from steelyard.core.world import join

    first = join().rank == 0
    settings = {"task": task.name, "method": recipe.name, "seed": seed} | regime.settings()
    groups = group_classes(task.counts)
    recorders = open_loggers(loggers, writable_folder(Path(out)), settings, groups) if out is not None and first else []
    fitted = fit_task(task, recipe, regime, seed=seed, listeners=[*listeners, *recorders], folder=out, device=device)
    for recorder in recorders:
        recorder.close()
    return fitted


def evaluate(fitted: Fitted, *, split: str = "test", groups: str = "auto", device: str = "auto") -> Scores:
    """Judge a fitted model on a split: every metric, per-class numbers, confusion matrix, reliability.

    Args:
        fitted: what `fit` returned.
        split: "test", "valid" or "train".
        groups: rule of Many / Medium / Few (see `steelyard.core.counts.group_classes`).
        device: where to compute.

    Example:
        >>> import steelyard as sy
        >>> fitted = sy.fit("digits", method="la", factor=50, regime=sy.Regime(epochs=2, lr=0.05))
        >>> sorted(sy.evaluate(fitted).values)[:2]
        ['accuracy', 'auprc']
    """
    from steelyard.core.measure import predict_proba
    from steelyard.metrics import evaluate as score

    task = fitted.task
    if split not in task.splits:
        raise ArgumentError("split", " or ".join(map(repr, task.splits)), repr(split))
    proba, target = predict_proba(task, fitted.model, split, device)
    return score(proba, target, class_counts=task.counts, groups=group_classes(task.counts, groups))
