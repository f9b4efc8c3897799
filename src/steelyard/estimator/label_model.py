"""A model of a table whose rows have several labels each, from training to decisions. It needs no scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.seeds import derive
from steelyard.core.stage import Steps
from steelyard.core.task import EVALUATION_ROWS, Source
from steelyard.data.encoder import TableEncoder
from steelyard.data.label_sets import check_labels
from steelyard.data.raw import Frame
from steelyard.data.resident import Inputs, ResidentSource
from steelyard.data.stratify import stratify
from steelyard.decisions import LabelThresholds
from steelyard.estimator.training import TREATMENT, Progress
from steelyard.estimator.usual import usual_network, usual_regime
from steelyard.metrics.multi_label import label_metrics
from steelyard.settings import resolve_method, resolve_regime
from steelyard.tasks.models import Model
from steelyard.tasks.multi_label import LabelledSource, MultiLabelTask
from steelyard.tasks.multi_label.task import class_names
from steelyard.tasks.tables import TableTask, embeds_categories


@dataclass
class LabelModel:
    """Everything between a row of a table and the labels that are decided for.

    Attributes:
        task: scores examples; it holds no rows.
        encoder: columns to inputs.
        networks: the members; their mean probability is the model's.
        thresholds: probabilities to decisions.
        onehot: categories become 0/1 columns.
        facts: what is known about the fit, as JSON.
    """

    task: MultiLabelTask
    encoder: TableEncoder
    networks: Sequence[nn.Module]
    thresholds: LabelThresholds
    onehot: bool
    facts: dict[str, Any] = field(default_factory=dict)

    def predict_proba(self, frame: Frame) -> np.ndarray:
        """Probabilities `[N, L]` float64 of rows with the columns of training."""
        if len(frame) == 0:
            raise DataError("there are no rows to score")
        whole = -(-len(frame) // EVALUATION_ROWS) * EVALUATION_ROWS  # so that a row's result does not depend on its company
        rows = torch.arange(whole).clamp_max(len(frame) - 1)
        inputs = _taken(self.encoder.encode(frame, onehot=self.onehot), rows)
        with torch.random.fork_rng(devices=[]):
            proba = _mean_proba(self.task, self.networks, _bare(inputs, whole, len(self.task.label_names)))
        found: np.ndarray = proba[: len(frame)].numpy()
        return found


def train_labels(
    frame: Frame,
    labels: Tensor,
    names: Sequence[str],
    *,
    method: str | Callable[..., Steps] = "ce",
    regime: str | Regime = "auto",
    model: Model = "auto",
    decision: Any = "f1",
    members: int = 1,
    validation: Any = 0.15,
    device: str = "auto",
    seed: int = 0,
    verbose: bool = False,
) -> LabelModel:
    """Encode, train, and choose thresholds.

    Args:
        frame: features, a column each.
        labels: `[N, L]`, 0, 1, or NaN where not known.
        names: of the labels.
        method: a name, or a generator function.
        regime: a name, a `Regime`, or "auto" for the usual one for so many rows.
        model: a name, a module or a function that makes one; "auto" is the usual network for tables.
        decision: a metric that each label's threshold shall be best for, a probability, or thresholds `[L]`.
        members: networks to train, 1 or more.
        validation: share of the rows to hold out, from 0 to below 1.
        device: where to train.
        seed: of everything that is drawn.
        verbose: print a line an epoch.

    Raises:
        SteelyardError: anything wrong with data, names or settings, in one sentence.
    """
    if members < 1:
        raise ArgumentError("n_seeds", "1 or more", members)
    if not isinstance(validation, int | float) or not 0 <= validation < 1:
        raise ArgumentError("validation", "a share of the rows, from 0 to below 1", repr(validation))
    check_labels(labels, names, "Y")
    train, valid = torch.arange(len(labels)), torch.empty(0, dtype=torch.int64)
    if validation > 0:
        train, valid = stratify(labels, (1 - validation, validation), seed=derive(seed, "valid"))
    check_labels(labels[train], names, "the rows that are learnt from (add rows, or set validation=0)")
    _check_decision(decision, len(names), bool(len(valid)))
    onehot = not embeds_categories(model)
    encoder = TableEncoder.fit(frame if len(valid) == 0 else frame.iloc[train.numpy()], **TREATMENT)
    inputs = encoder.encode(frame, onehot=onehot)
    task = _task(encoder, inputs, labels, names, {"train": train, "valid": valid}, model)
    training = usual_regime(len(train)) if isinstance(regime, str) and regime == "auto" else resolve_regime(regime)
    if len(valid) == 0:
        training = training.replace(patience=None, select="last")
    listeners = [Progress()] if verbose else []
    fitted = [
        fit(task, resolve_method(method), training, seed=derive(seed, "member", j), device=device, listeners=listeners)
        for j in range(members)
    ]
    networks = [one.model.cpu().eval() for one in fitted]
    thresholds, estimate = _decided(task, networks, decision)
    facts = {
        "epochs": max(len(one.history) for one in fitted),
        "seconds": sum(one.seconds for one in fitted),
        "rows": {"train": len(train), "valid": len(valid)},
        "notes": list(encoder.notes),
        "estimate": estimate,
    }
    task.splits = {"train": _bare(_first(inputs), 1, len(names))}
    task.inner.splits = {}
    return LabelModel(task, encoder, networks, thresholds, onehot, facts)


def _task(
    encoder: TableEncoder, inputs: Inputs, labels: Tensor, names: Sequence[str], rows: dict[str, Tensor], model: Model
) -> MultiLabelTask:
    kept = {split: chosen for split, chosen in rows.items() if len(chosen)}
    zeros = {split: torch.zeros(len(chosen), dtype=torch.int64) for split, chosen in kept.items()}
    sources: dict[str, Source] = {split: ResidentSource(_taken(inputs, kept[split]), zeros[split]) for split in kept}
    network, settings = usual_network(model, len(rows["train"]), encoder.width)
    inner = TableTask("table", class_names(names), sources, encoder, model=network, model_settings=settings)
    own = {split: labels[chosen] for split, chosen in kept.items()}
    return MultiLabelTask(inner, own, names, scores_a_label=not isinstance(model, str))


def _decided(
    task: MultiLabelTask, networks: Sequence[nn.Module], decision: Any
) -> tuple[LabelThresholds, dict[str, float] | None]:
    """Thresholds, and what held-out rows say at 0.5."""
    held, count = task.splits.get("valid"), len(task.label_names)
    if held is None:
        return _thresholds(decision, count), None
    assert isinstance(held, LabelledSource)
    proba, truth = _mean_proba(task, networks, held).numpy(), held.labels.numpy()
    found = label_metrics(proba, truth)
    estimate = {name: found[name] for name in ("map", "label_f1", "micro_f1")}
    if isinstance(decision, str):
        return LabelThresholds.for_metric(proba, truth, decision), estimate
    return _thresholds(decision, count), estimate


def _check_decision(decision: Any, count: int, held: bool) -> None:
    """Refuse a decision before training."""
    if isinstance(decision, str):
        LabelThresholds.for_metric(np.array([[0.2], [0.7]]), np.array([[0], [1]]), decision)
        if not held:
            expected = "a probability or thresholds [L] with validation=0, as no rows are left to choose by"
            raise ArgumentError("decision", expected, repr(decision))
        return
    _thresholds(decision, count)


def _thresholds(decision: Any, count: int) -> LabelThresholds:
    if isinstance(decision, LabelThresholds):
        made = decision
    elif isinstance(decision, int | float) and not isinstance(decision, bool) and math.isfinite(decision):
        made = LabelThresholds(np.full(count, float(decision)))
    else:
        made = LabelThresholds(decision)
    if len(made.thresholds) != count:
        raise ArgumentError("decision", f"a threshold for each of the {count} labels", f"{len(made.thresholds)} thresholds")
    return made


@torch.no_grad()
def _mean_proba(task: MultiLabelTask, networks: Sequence[nn.Module], source: Source) -> Tensor:
    """Mean probability over networks `[N, L]`."""
    device = next((value.device for value in networks[0].parameters()), torch.device("cpu"))
    return torch.stack([task.predict_log_odds(one, source.to(device)).sigmoid() for one in networks]).mean(0)


def _bare(inputs: Any, rows: int, labels: int) -> LabelledSource:
    """Rows whose labels are not known."""
    target = torch.zeros(rows, dtype=torch.int64)
    return LabelledSource(ResidentSource(inputs, target), torch.full((rows, labels), torch.nan), target)


def _taken(inputs: Inputs, rows: Tensor) -> Inputs:
    return inputs[rows] if isinstance(inputs, Tensor) else {name: values[rows] for name, values in inputs.items()}


def _first(inputs: Inputs) -> Inputs:
    return _taken(inputs, torch.zeros(1, dtype=torch.int64))
