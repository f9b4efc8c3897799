"""All that is found out about trained models, as plain values for a terminal, a JSON file and a page."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from steelyard.core.counts import Groups, group_classes
from steelyard.core.errors import ArgumentError, SteelyardError, said_of
from steelyard.core.fit import Fitted
from steelyard.core.loss import CrossEntropy
from steelyard.core.task import Task
from steelyard.core.world import local_device
from steelyard.diagnosis.curvature import Effort, curvature
from steelyard.diagnosis.embeddings import Embedded, choose_rows, embed, linear_head
from steelyard.diagnosis.expected import Expected, expected, worst_of
from steelyard.diagnosis.geometry import Geometry, geometry
from steelyard.diagnosis.inputs import inputs_of
from steelyard.diagnosis.pictures import ideal_pictures, pictures, shown_classes
from steelyard.diagnosis.plain import plain
from steelyard.diagnosis.regime_map import regime_map
from steelyard.diagnosis.shifts import balancing_offsets, lost_shares, shifted_recall
from steelyard.diagnosis.taxonomy import taxonomy
from steelyard.metrics.proportion import wilson

PER_CLASS = 500
"""Training rows of a class that are measured at most."""

TRAIN_ROWS = 20_000
"""Training rows that are measured at most."""

HELD_OUT = 50_000
"""Test rows that are measured at most."""

TAXONOMY_ROWS = 4_000
"""Rows whose embeddings, or inputs, the taxonomy takes at most."""

CURVED = 30
"""Curvature is measured for each class up to this many, and for each group of classes beyond."""

EFFORT = Effort(rows=256, steps=30, starts=1, probes=30)
"""Of the curvature; `curvature` itself takes more."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """A trained model to be diagnosed.

    Args:
        name: of the method.
        model: as it is judged.
        history: lines of the log, a line an epoch; their "class_weights" are shown.
    """

    name: str
    model: nn.Module
    history: Sequence[Mapping[str, Any]] = ()


def diagnose_model(fitted: Fitted, *, name: str = "model", **options: Any) -> Json:
    """Say what went right and wrong inside a trained model: geometry, recall and what it was lost to, curvature, weights.

    Args:
        fitted: what `steelyard.fit` returned.
        name: what to call it.
        options: as for `diagnose_models`.

    Returns:
        JSON values, as `diagnose_models`, with one entry in "models".

    Raises:
        SteelyardError: nothing can be measured; the message says why.

    Example:
        >>> import steelyard as sy
        >>> fitted = sy.fit("wine", method="la", factor=4, regime=sy.Regime(epochs=5, batch_size=32))
        >>> found = diagnose_model(fitted)["models"][0]
        >>> sorted(found["geometry"])[:3], len(found["classes"])
        (['alignment', 'cdnv', 'cdnv_pairs'], 3)
    """
    return diagnose_models(fitted.task, [Judged(name, fitted.model, fitted.history)], **options)


def diagnose_models(
    task: Task,
    models: Sequence[Judged],
    *,
    groups: str = "auto",
    curved: bool = False,
    effort: Effort = EFFORT,
    device: str = "auto",
    seed: int = 0,
) -> Json:
    """Diagnose models that were trained on the same data, so that they can be compared.

    Geometry is that of training rows in evaluation mode, as the theory has it; some of it is said of test rows too. Recall is
    measured on both, and split into what a shift of the scores gives back, what is lost on new rows and what was never learnt.
    The taxonomy of the embeddings of test rows says what a plain linear classifier would make of them at the counts that were
    trained on.

    Args:
        task: what they were trained on; test rows are needed for what is said about new rows.
        models: at least one.
        groups: which classes are many-shot and few-shot, as for `steelyard.core.counts.group_classes`.
        curved: whether to measure the Hessian of each class' cross-entropy too, which takes longer and needs curvlinops.
        effort: of the curvature.
        device: where to compute.
        seed: of the rows and probes that are drawn.

    Returns:
        JSON values: "data", "counts", "groups", "ideal" (what the class counts imply), "inputs" (the taxonomy of what the
        models were given, or None), "map", "models" (a dictionary each: "method", "error", "classes", "groups", "geometry",
        "held_out", "grams", "embeddings", "curvature", "weights", "notes"), "notes", "seconds".

    Raises:
        ArgumentError: no model.
        SteelyardError: none of the models can be measured.
    """
    if not models:
        raise ArgumentError("models", "at least one", "none")
    started = time.perf_counter()
    counts = task.counts.numpy()
    grouped = group_classes(task.counts, groups)
    order = np.argsort(-counts, kind="stable")
    shown = shown_classes(order)
    look = _Look(task, groups, grouped, shown, curved, effort, device, seed)
    found, notes = look.each(models)
    inputs, why = look.inputs()
    return {
        "data": task.describe(),
        "counts": counts.tolist(),
        "groups": {"rule": grouped.rule} | {name: list(members) for name, members in grouped.members.items()},
        "shown": shown.tolist(),
        "ideal": ideal_pictures(counts, shown),
        "inputs": inputs,
        "map": regime_map(one["delta"] for one in [inputs, *(model["embeddings"] for model in found)] if one),
        "models": found,
        "notes": [*notes, *why],
        "seconds": time.perf_counter() - started,
    }


@dataclass(frozen=True)
class _Look:
    """What is looked at, the same for all models."""

    task: Task
    rule: str
    grouped: Groups
    shown: Any
    curved: bool
    effort: Effort
    device: str
    seed: int

    def each(self, models: Sequence[Judged]) -> tuple[list[Json], list[str]]:
        """What was found of each model, and a note for each that could not be measured at all."""
        found: list[Json] = []
        notes: list[str] = []
        for judged in models:
            try:
                found.append(self.model(judged))
            except Exception as error:  # a task or a model may raise anything, and the others are measured all the same
                notes.append(f"{judged.name} could not be measured: {said_of(error)}")
        if not found:
            raise SteelyardError(notes[0])
        return found, notes

    def model(self, judged: Judged) -> Json:
        """Everything about one model; what cannot be measured is None, and a note says why."""
        model = judged.model.to(local_device(self.device))
        task, classes = self.task, self.task.num_classes
        train = embed(task, model, "train", choose_rows(task, "train", per_class=PER_CLASS, most=TRAIN_ROWS, seed=self.seed))
        test = self._held_out(model)
        shape, notes = self._geometry(model, train)
        held, more = (None, []) if test is None else self._geometry(model, test)
        inside, unknown = _embeddings(self, test)
        lines = _classes(self, train, test, inside)
        curved, flat = self._curvature(model)
        found: Json = {
            "method": judged.name,
            "model": type(model).__name__,
            "error": float(1 - train.recall(classes).nanmean()),
            "classes": lines,
            "groups": _group_lines(lines, self.grouped),
            "geometry": None if shape is None else shape.to_dict(),
            "held_out": None if held is None else held.summary(),
            "grams": None if shape is None else pictures(shape, self.shown),
            "embeddings": None if inside is None else _worst(inside),
            "curvature": curved,
            "weights": _weights(judged.history, classes),
            "notes": list(dict.fromkeys([*notes, *more, *unknown, *flat])),
        }
        return dict(plain(found))

    def _held_out(self, model: nn.Module) -> Embedded | None:
        if "test" not in self.task.splits or not len(self.task.splits["test"]):
            return None
        rows = choose_rows(self.task, "test", per_class=HELD_OUT, most=HELD_OUT, seed=self.seed)
        return embed(self.task, model, "test", rows)

    def _geometry(self, model: nn.Module, rows: Embedded) -> tuple[Geometry | None, list[str]]:
        if rows.features is None:
            return None, [f"no geometry: {rows.why}"]
        classifier, bias = linear_head(model)
        notes = []
        if classifier is None or classifier.shape[0] != self.task.num_classes:
            classifier = bias = None
            notes.append("its classifier is no linear layer of one line a class, so class means alone were measured")
        try:
            options: Json = {"bias": bias, "class_counts": self.task.counts, "groups": self.rule}
            found = geometry(rows.features, rows.target, classifier, **options)
        except SteelyardError as error:
            return None, [f"no geometry: {error}"]
        if not found.possible:
            classes = self.task.num_classes
            notes.append(f"its embeddings have {found.dim} dimensions, and SELI of {classes} classes needs {classes - 1}")
        return found, notes

    def _curvature(self, model: nn.Module) -> tuple[Json | None, list[str]]:
        if not self.curved:
            return None, []
        model.requires_grad_(True)
        by = "class" if self.task.num_classes <= CURVED else "group"
        options: Json = {"by": by, "class_counts": self.task.counts, "groups": self.rule, "effort": self.effort}
        try:
            found = curvature(model, CrossEntropy(), self.task.splits["train"], task=self.task, seed=self.seed, **options)
        except Exception as error:  # whatever second derivatives through a model may raise
            return None, [f"no curvature: {said_of(error)}"]
        return found.to_dict(), []

    def inputs(self) -> tuple[Json | None, list[str]]:
        """The taxonomy of what the models were given; None where that is not numbers of which a distance could be taken."""
        rows = choose_rows(self.task, "train", per_class=TAXONOMY_ROWS, most=TAXONOMY_ROWS, seed=self.seed)
        values, why = inputs_of(self.task, "train", rows)
        if values is None:
            return None, [f"no taxonomy of the inputs: {why}"]
        target = self.task.splits["train"].target[rows].numpy()
        lines, why = _expected(self, values, target)
        return (None, [f"no taxonomy of the inputs: {why}"]) if lines is None else (dict(plain(_worst(lines))), [])


def _embeddings(look: _Look, test: Embedded | None) -> tuple[tuple[Expected, ...] | None, list[str]]:
    """What a linear classifier would make of the embeddings of rows that were not trained on."""
    if test is None:
        return None, ["there are no test rows, so nothing is said about new rows"]
    if test.features is None:
        return None, []
    keep = torch.arange(len(test.target))
    if len(keep) > TAXONOMY_ROWS:
        keep = torch.randperm(len(keep), generator=torch.Generator().manual_seed(look.seed))[:TAXONOMY_ROWS]
    lines, why = _expected(look, test.features[keep].numpy(), test.target[keep].numpy())
    return lines, [] if lines is not None else [f"no taxonomy of the embeddings: {why}"]


def _expected(look: _Look, values: Any, target: Any) -> tuple[tuple[Expected, ...] | None, str]:
    try:
        found = taxonomy(values, target, seed=look.seed)
    except SteelyardError as error:
        return None, str(error)
    lines = expected(found, look.task.counts[torch.tensor(found.labels)])
    if lines is None:
        return None, f"{found.n:,} rows are too few to know distances in {found.d:,} dimensions"
    return lines, ""


def _worst(lines: tuple[Expected, ...]) -> Json:
    """The class that is worst off, and a place on the map for each."""
    worst = worst_of(lines)
    places = [
        {
            "class": one.label,
            "confuser": one.confuser,
            "eta": one.eta,
            "delta": one.delta,
            "low": one.delta_interval[0],
            "high": one.delta_interval[1],
            "recall": one.recall,
            "adjusted": one.adjusted,
            "regime": one.regime,
        }
        for one in lines
    ]
    parts = ("ideal", "recall", "prior", "count_bias", "estimation", "curable")
    lost = {name: getattr(worst.lost, name) for name in parts}
    return {"class": worst.label, "confuser": worst.confuser, "delta": worst.delta, "lost": lost, "places": places}


def _classes(look: _Look, train: Embedded, test: Embedded | None, inside: tuple[Expected, ...] | None) -> list[Json]:
    """A line a class, in the order of the classes."""
    task, classes = look.task, look.task.num_classes
    counts = task.counts.tolist()
    learnt = train.recall(classes)
    nothing = torch.full((classes,), torch.nan, dtype=torch.float64)
    rows = torch.zeros(classes) if test is None else torch.bincount(test.target, minlength=classes)
    recall = nothing if test is None else test.recall(classes)
    shifted = nothing if test is None else shifted_recall(test.logits, test.target, seed=look.seed)
    low, high = wilson((recall.nan_to_num() * rows).round().numpy(), rows.numpy())
    lost = lost_shares(_learnt(train, test, classes), recall, shifted)
    predicted = {one.label: one for one in inside or ()}
    return [
        {
            "name": task.class_names[c],
            "rows": counts[c],
            "eta": max(counts) / max(counts[c], 1),
            "train_recall": learnt[c].item(),
            "test_rows": int(rows[c]),
            "recall": recall[c].item(),
            "low": float(low[c]),
            "high": float(high[c]),
            "shifted": shifted[c].item(),
            "lost": {"shift": lost.shift[c].item(), "rows": lost.rows[c].item(), "fit": lost.fit[c].item()},
            "expected": predicted[c].recall if c in predicted else None,
            "expected_adjusted": predicted[c].adjusted if c in predicted else None,
        }
        for c in range(classes)
    ]


def _learnt(train: Embedded, test: Embedded | None, classes: int) -> torch.Tensor:
    """Recall on training rows with the shift that suits new rows; NaN where there are none."""
    if test is None:
        return torch.full((classes,), torch.nan, dtype=torch.float64)
    offsets = balancing_offsets(test.logits, test.target)
    return replace(train, logits=train.logits.double() + offsets).recall(classes)


def _group_lines(lines: list[Json], grouped: Groups) -> Json:
    """Means over the classes of each group, and over all."""
    members = {"all": tuple(range(len(lines)))} | dict(grouped.members)
    keys = ("train_recall", "recall", "shifted")
    return {name: {key: _mean([lines[c][key] for c in of]) for key in keys} for name, of in members.items()}


def _mean(values: list[float]) -> float | None:
    kept = [value for value in values if np.isfinite(value)]
    return float(np.mean(kept)) if kept else None


def _weights(history: Sequence[Mapping[str, Any]], classes: int) -> Json | None:
    """Mean weight of the rows of each class by epoch; None where rows were not weighted."""
    lines = [(i + 1, line.get("class_weights")) for i, line in enumerate(history)]
    kept = [(epoch, values) for epoch, values in lines if isinstance(values, list) and len(values) == classes]
    if not kept:
        return None
    columns = zip(*(values for _, values in kept), strict=True)
    return {"epochs": [epoch for epoch, _ in kept], "classes": [list(column) for column in columns]}
