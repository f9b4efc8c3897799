"""From a table and its labels to a fitted `TableModel`: what the estimator and the command line both do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.measure import predict_logits
from steelyard.core.members import Cohort, fit_members
from steelyard.core.regime import Regime
from steelyard.core.roles import Assesses
from steelyard.core.seeds import derive
from steelyard.core.stage import Steps
from steelyard.core.world import local_device
from steelyard.data.encoder import TableEncoder
from steelyard.data.labels import label_name
from steelyard.data.raw import Frame
from steelyard.estimator.auto import Candidate, choose, without_comparison
from steelyard.estimator.deciding import (
    Adjustment,
    Decision,
    Held,
    adjust,
    cost_matrix,
    cross_adjusted,
    decision_of,
    decision_words,
    follows_mix,
)
from steelyard.estimator.scoring import Judge, Metric, metric_of
from steelyard.estimator.splitting import choose_split, given_split
from steelyard.estimator.table import Table
from steelyard.estimator.table_model import TableModel
from steelyard.estimator.usual import usual_network, usual_regime
from steelyard.settings import Recipe, describe_method, resolve_method, resolve_regime
from steelyard.tasks.models import Model
from steelyard.tasks.tables import embeds_categories

TREATMENT: dict[str, Any] = {
    "missing": "indicator", "numeric": "standard", "dates": "parts", "text": "hash", "constant": "drop"
}  # fmt: skip
"""How columns are encoded (see `TableEncoder.fit`)."""
SMALLEST_BATCH = 32
"""Rows of a batch in the search for a method at least."""


@dataclass(frozen=True)
class Outcome:
    """Members trained once, and what they say about rows that they did not learn from.

    Attributes:
        cohort: the members and how training went.
        held: held-out rows; None where there are none.
    """

    cohort: Cohort
    held: Held | None


def train_table(
    frame: Frame,
    target: np.ndarray,
    classes: np.ndarray,
    *,
    method: str | Callable[..., Steps] = "auto",
    regime: str | Regime = "auto",
    model: Model = "auto",
    metric: str | Judge = "balanced_accuracy",
    decision: Decision | Any = "auto",
    n_seeds: int = 1,
    validation: str | int | float = "auto",
    split: Any = None,
    sample_weight: np.ndarray | None = None,
    missing: str = "indicator",
    encoder: TableEncoder | None = None,
    device: str = "auto",
    seed: int = 0,
    listeners: Iterable[object] = (),
) -> TableModel:
    """Encode, choose a method, train members, calibrate and choose how to decide.

    Args:
        frame: features, a column each.
        target: class of each row `[N]`, 0 to C-1.
        classes: label of each class `[C]`.
        method: a name, a generator function, or "auto" for the best of a short list by `metric`.
        regime: a name, a `Regime`, or "auto" for the usual one for so many rows.
        model: a name, a module or a function that makes one; "auto" is the usual network for tables.
        metric: what method and decision should be best for: a name (see `steelyard.estimator.scoring.METRICS`), or a function
            of probabilities and classes, the higher the better.
        decision: "auto" follows the metric; else "argmax", a metric's name, a cost matrix `[C, C]` (cost[true, decided]),
            `Thresholds`, or a function of held-out probabilities and classes that returns `Thresholds`.
        n_seeds: members to train, 1 or more. With folds there are at least as many members as folds.
        validation: how rows are kept for judging (see `choose_split`).
        split: row numbers (to learn from, to judge by), or the fold of each row; used instead of `validation`.
        sample_weight: `[N]`, above 0; a row of weight 2 counts as if it were there twice.
        missing: what becomes of missing values (see `TableEncoder.fit`).
        encoder: fitted elsewhere, used as it is.
        device: where to train.
        seed: of everything that is drawn.
        listeners: told about epochs, as in `steelyard.fit`.

    Raises:
        SteelyardError: anything wrong with data, names or settings, in one sentence.
    """
    refuse_few(classes)
    table = _encode(frame, target, classes, model, validation, split, sample_weight, missing, encoder, seed)
    return train_encoded(
        table,
        classes,
        method=method,
        regime=regime,
        metric=metric,
        decision=decision,
        n_seeds=n_seeds,
        device=device,
        seed=seed,
        listeners=listeners,
    )


def refuse_few(classes: np.ndarray) -> None:
    """Refuse a single class.

    Raises:
        DataError: there is only one.
    """
    if len(classes) < 2:
        raise DataError(f"there is only one class, {label_name(classes[0])!r}: a classifier needs rows of at least two classes")


def train_encoded(
    table: Table,
    classes: np.ndarray,
    *,
    method: str | Callable[..., Steps] = "auto",
    regime: str | Regime = "auto",
    metric: str | Judge = "balanced_accuracy",
    decision: Decision | Any = "auto",
    n_seeds: int = 1,
    device: str = "auto",
    seed: int = 0,
    listeners: Iterable[object] = (),
    say: Callable[[str], None] = lambda text: None,
) -> TableModel:
    """What `train_table` does once rows are encoded and split.

    Args:
        table: the rows.
        classes: label of each class `[C]`.
        method: as for `train_table`.
        regime: as for `train_table`.
        metric: as for `train_table`.
        decision: as for `train_table`.
        n_seeds: as for `train_table`.
        device: as for `train_table`.
        seed: as for `train_table`.
        listeners: as for `train_table`.
        say: told what is going on, a line at a time.

    Raises:
        SteelyardError: anything wrong with data, names or settings, in one sentence.
    """
    refuse_few(classes)
    given: object = n_seeds
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1:
        raise ArgumentError("n_seeds", "a whole number of 1 or more", repr(n_seeds))
    if not isinstance(decision, str) and not callable(decision):
        decision = cost_matrix(decision, len(classes)) if not isinstance(decision, torch.nn.Module) else decision
    judged_by = metric_of(metric, decision if isinstance(decision, np.ndarray) else None)
    decision_of(decision, judged_by)
    rows = len(table.split.train)
    rarest = int(torch.bincount(table.target[table.split.train]).min())
    training = usual_regime(rows, rarest) if isinstance(regime, str) and regime == "auto" else resolve_regime(regime)
    candidates: list[Candidate] = []
    if isinstance(method, str) and method == "auto":
        recipe, candidates = choose(
            table,
            functools.partial(_fewer, regime, training, rows, rarest),
            judged_by,
            decision,
            fit=_fitter(device),
            seed=seed,
        )
        say(f"chosen among {len(candidates)} methods: {recipe.name}")
    else:
        recipe = resolve_method(method)
    outcome = train_once(table, recipe, training, members=n_seeds, device=device, seed=seed, listeners=listeners)
    return _finish(table, classes, recipe, training, judged_by, decision, outcome, candidates, seed)


def _fewer(asked: str | Regime, regime: Regime, rows: int, rarest: int, fewer: int) -> Regime:
    """The recipe for a part of the rows: the usual one, or as asked for with a batch that is smaller by as much."""
    if isinstance(asked, str) and asked == "auto":
        return usual_regime(fewer, rarest * fewer // rows)
    return regime.replace(batch_size=min(regime.batch_size, max(SMALLEST_BATCH, regime.batch_size * fewer // rows)))


def train_once(
    table: Table,
    recipe: Recipe,
    regime: Regime,
    *,
    members: int = 1,
    device: str = "auto",
    seed: int = 0,
    listeners: Iterable[object] = (),
) -> Outcome:
    """Train members, one a fold at least, and score the rows that they did not learn from; torch's global state stays."""
    with torch.random.fork_rng(devices=[]):
        return _train_once(table, recipe, regime, members, device, seed, listeners)


def _train_once(
    table: Table, recipe: Recipe, regime: Regime, members: int, device: str, seed: int, listeners: Iterable[object]
) -> Outcome:
    task, split = table.task(), table.split
    if len(split.judged) == 0:
        regime = regime.replace(patience=None, select="last")
    count = max(members, split.num_folds)
    seeds = [derive(seed, "member", j) for j in range(count)]
    cohort = fit_members(task, recipe, regime, seeds=seeds, folds=split.folds, device=device, listeners=tuple(listeners))
    if len(split.judged) == 0:
        return Outcome(cohort, None)
    if split.folds is not None:
        logits = cohort.out_of_fold()[split.judging]
    else:
        where = local_device(device)
        logits, _ = predict_logits(task, cohort.model.to(where), task.splits["valid"].to(where))
    rows = split.judged
    weights = None if table.weights is None else table.weights[rows]
    return Outcome(cohort, Held(logits.double(), table.target[rows], weights, _prior(table)))


class Progress(Assesses):
    """Prints a line an epoch."""

    def assess(self, report: Any) -> None:
        """Say how far training is."""
        clock = report.clock
        judged = "" if report.balanced_accuracy is None else f", validation balanced accuracy {report.balanced_accuracy:.4f}"
        print(f"epoch {clock.epoch + 1} of {clock.epochs}: loss {report.train_loss:.4f}{judged}")


def _fitter(device: str) -> Callable[..., Held | None]:
    def fit(table: Table, recipe: Recipe, regime: Regime, seed: int) -> Held | None:
        return train_once(table, recipe, regime, device=device, seed=seed).held

    return fit


def _encode(
    frame: Frame,
    target: np.ndarray,
    classes: np.ndarray,
    model: Model,
    validation: str | int | float,
    split: Any,
    sample_weight: np.ndarray | None,
    missing: str,
    encoder: TableEncoder | None,
    seed: int,
) -> Table:
    codes = torch.from_numpy(np.array(target, dtype=np.int64))
    cut = choose_split(codes, validation, seed=seed) if split is None else given_split(split, len(codes))
    if encoder is None:
        encoder = TableEncoder.fit(
            frame if len(cut.valid) == 0 else frame.iloc[cut.train.numpy()], **TREATMENT | {"missing": missing}
        )
    weights = None if sample_weight is None else torch.from_numpy(np.array(sample_weight, dtype=np.float64))
    inputs = encoder.encode(frame, onehot=not embeds_categories(model))
    network = usual_network(model, len(cut.train), encoder.width)
    return Table(encoder, inputs, codes, _names(classes), cut, weights, *network)


def _names(classes: np.ndarray) -> tuple[str, ...]:
    """Labels as text, made different where two labels read alike."""
    names = [label_name(label) for label in classes.tolist()]
    return tuple(names if len(set(names)) == len(names) else [f"{name} ({i})" for i, name in enumerate(names)])


def _prior(table: Table) -> np.ndarray:
    """Class shares that probabilities answer for: of the judged rows where every class is among them, else of all."""
    mass = table.class_mass(table.split.judged)
    if not (mass > 0).all():
        mass = table.class_mass(table.split.train)
    mass = np.maximum(mass, mass[mass > 0].min() * 1e-3)
    shares: np.ndarray = mass / mass.sum()
    return shares


def _finish(
    table: Table,
    classes: np.ndarray,
    recipe: Recipe,
    regime: Regime,
    metric: Metric,
    decision: Decision,
    outcome: Outcome,
    candidates: list[Candidate],
    seed: int,
) -> TableModel:
    held = outcome.held
    prior = _prior(table)
    if held is None:
        empty = torch.empty(0, len(classes), dtype=torch.float64)
        held = Held(empty, torch.empty(0, dtype=torch.int64), None, prior)
    adjustment = adjust(held, metric, decision)
    cohort = outcome.cohort
    spec = network_spec(table)
    facts = _facts(table, recipe, regime, metric, decision, adjustment, cohort, spec)
    facts["candidates"] = [candidate.to_json() for candidate in candidates]
    facts["notes"] += without_comparison(candidates, metric)
    facts["estimate"] = estimate(held, metric, decision, seed) if len(held.target) else None
    network = cohort.model.cpu().eval()
    return TableModel(
        table.encoder, network, spec, classes, prior, adjustment.temperature, adjustment.thresholds, facts,
        each_calibrated=cohort.folds is not None,
    )  # fmt: skip


def estimate(held: Held, metric: Metric, decision: Decision, seed: int) -> dict[str, Any]:
    """The metric on rows that neither the members nor the adjustment learnt from, with a 95 % bootstrap interval."""
    proba, decided = cross_adjusted(held, metric, decision, seed)
    target, weights = held.target.numpy(), held.weights_array()
    value, low, high = metric.estimated(proba, decided, target, weights, seed)
    return {"metric": metric.name, "value": value, "low": low, "high": high, "rows": len(target)}


def network_spec(table: Table) -> dict[str, Any]:
    """Name and sizes from which a member can be built again; no name for a network of the user's own."""
    model, encoder = table.model, table.encoder
    onehot = not embeds_categories(model)
    width = encoder.width + (sum(encoder.cardinalities) if onehot else 0)
    return {
        "name": table.task().model_name if isinstance(model, str) else None,
        "num_classes": len(table.class_names),
        "input_shape": [width],
        "cardinalities": [] if onehot else list(encoder.cardinalities),
        "settings": dict(table.settings),
        "onehot": onehot,
    }


def _facts(
    table: Table,
    recipe: Recipe,
    regime: Regime,
    metric: Metric,
    decision: Decision,
    adjustment: Adjustment,
    cohort: Cohort,
    spec: Mapping[str, Any],
) -> dict[str, Any]:
    about = describe_method(recipe)
    members = len(cohort.model)
    temperature, cuts = adjustment.temperature, adjustment.thresholds.thresholds
    return {
        "metric": metric.name,
        "members": members,
        "method": {"name": about.name, "summary": about.summary, "source": about.source},
        "regime": regime.settings(),
        "network": {
            "name": spec["name"] or "own",
            "parameters": sum(value.numel() for value in cohort.model.parameters()) // members,
        },
        "calibration": temperature.to_json(),
        "decision": {
            "words": decision_words(decision, metric),
            "thresholds": None if cuts is None else cuts.tolist(),
            "follows_mix": follows_mix(decision, metric),
        },
        "split": table.split.words(),
        "rows": {"train": len(table.split.train), "valid": len(table.split.valid)},
        "class_names": list(table.class_names),
        "counts": [int(n) for n in table.task().counts],
        "epochs": max((line["epoch"] for line in cohort.history), default=0),
        "seconds": cohort.seconds,
        "vectorised": cohort.vectorised,
        "notes": [*table.encoder.notes, *_unjudged(table)],
    }


def _unjudged(table: Table) -> list[str]:
    """A note where held-out rows have not all classes."""
    rows = table.split.judged
    absent = [name for name, mass in zip(table.class_names, table.class_mass(rows), strict=True) if mass <= 0]
    if not absent or not len(rows):
        return []
    named = ", ".join(f"'{name}'" for name in absent[:5]) + (", ..." if len(absent) > 5 else "")
    return [f"no row of {named} was held out: the estimate leaves it out, and calibration and decision have not seen it"]
