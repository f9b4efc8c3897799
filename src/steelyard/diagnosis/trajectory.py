"""Geometry over training: a listener that measures training rows after an epoch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.grouping import group_rows
from steelyard.core.head import Tap, find_head
from steelyard.core.measure import Report
from steelyard.core.oracle import Oracle
from steelyard.core.roles import Assesses, Prepares
from steelyard.core.rows import Batch
from steelyard.core.seeds import generator
from steelyard.core.task import EVALUATION_ROWS, Task
from steelyard.diagnosis.geometry import Geometry, geometry


class GeometryTrajectory(Prepares, Assesses):
    """Measures the geometry of a model while it is trained: give it to `fit` as a listener.

    It changes nothing in the run: rows pass in evaluation mode, without augmentation and without gradients, and nothing is
    drawn from the run's generators. What is measured are the weights in training, also where the regime keeps an average of
    them (`ema`).

    Args:
        task: that is trained.
        every: epochs from one measurement to the next, 1 or more; the first and the last epoch of a stage are always
            measured.
        per_class: at most so many rows of each class, the same ones every time; 1 or more.
        split: "train", or "valid".
        seed: of the chosen rows.

    Attributes:
        points: one dictionary a measurement: "stage", "epoch" (from 1), "step", "train_loss", "error" (share of the measured
            rows that are wrong, mean over classes) and the numbers of `Geometry.summary`.
        last: the whole geometry at the last measurement; None before the first.

    Raises:
        ArgumentError: a value out of range, or a split that the task lacks.

    Reference:
        Papyan, Han, Donoho. Prevalence of neural collapse during the terminal phase of deep learning training. PNAS 2020.

    Example:
        >>> from steelyard import Regime, fit
        >>> from steelyard.problems import load
        >>> task = load("wine")
        >>> listener = GeometryTrajectory(task)
        >>> _ = fit(task, method="ce", regime=Regime(epochs=2, batch_size=64), listeners=[listener])
        >>> [point["epoch"] for point in listener.points]
        [1, 2]
    """

    def __init__(self, task: Task, *, every: int = 1, per_class: int = 200, split: str = "train", seed: int = 0) -> None:
        for name, value in (("every", every), ("per_class", per_class)):
            if value < 1:
                raise ArgumentError(name, "at least 1", value)
        if split not in ("train", "valid") or split not in task.splits:
            raise ArgumentError("split", "'train', or 'valid' where the task has validation rows", repr(split))
        self.task, self.every, self.split = task, every, split
        grouped = group_rows(task.splits[split].target, task.num_classes)
        stream = generator(seed, "geometry")
        kept = []
        for label, size in enumerate(grouped.counts.tolist()):
            kept.append(grouped.rows(label)[torch.randperm(size, generator=stream)[:per_class]])
        self.rows = torch.cat(kept).sort().values
        self.points: list[dict[str, Any]] = []
        self.last: Geometry | None = None
        self._model: nn.Module | None = None

    def prepare(self, oracle: Oracle, batch: Batch) -> None:
        """Remember which model is trained."""
        self._model = oracle.model

    def assess(self, report: Report) -> None:
        """Measure, if it is time to."""
        epoch = report.clock.epoch + 1
        if self._model is None or (epoch > 1 and epoch < report.clock.epochs and epoch % self.every):
            return
        features, logits, target = self._through(self._model)
        classifier, bias = _linear_head(self._model)
        self.last = geometry(features, target, classifier, bias=bias, class_counts=self.task.counts)
        wrong = (logits.argmax(1) != target).double()
        rows = torch.bincount(target, minlength=self.task.num_classes)
        by_class = torch.bincount(target, wrong, minlength=self.task.num_classes)[rows > 0] / rows[rows > 0]
        place = {"stage": report.stage, "epoch": epoch, "step": report.clock.step + 1, "train_loss": report.train_loss}
        self.points.append({**place, "error": float(by_class.mean()), **self.last.summary()})

    def to_json(self, indent: int | None = 2) -> str:
        """The points as JSON; null stands for NaN and infinity.

        Args:
            indent: spaces a level; None for one line.
        """
        plain = [
            {name: None if value != value or abs(value) == float("inf") else value for name, value in point.items()}
            for point in self.points
        ]
        return json.dumps(plain, indent=indent, allow_nan=False)

    def _through(self, model: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
        """Features, logits and classes of the chosen rows, on the CPU."""
        device = next(model.parameters()).device
        source = self.task.splits[self.split].to(device)
        target = source.target[self.rows]
        found: list[Tensor] = []
        scores: list[Tensor] = []
        with _evaluating(model), torch.no_grad():
            tap = Tap(model)
            try:
                for index, inputs in source.stream(torch.split(self.rows, EVALUATION_ROWS)):
                    ready = self.task.load(inputs, augment="none", generator=None)
                    rows = self.task.forward(model, Batch(ready, torch.zeros_like(index), index))
                    tapped = tap.take() if rows.features is None else rows.features
                    if tapped is None or tapped.ndim != 2 or len(tapped) != len(index):
                        raise ArgumentError("model", "one whose last linear layer takes features [N, d]", type(model).__name__)
                    found.append(tapped.float().cpu())
                    scores.append(rows.logits.float().cpu())
            finally:
                tap.close()
        return torch.cat(found), torch.cat(scores), target


def _linear_head(model: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    """Weight and bias of the last layer; None where it is no plain linear one (a cosine head, say)."""
    head = find_head(model)
    if head is None or not isinstance(head[1], nn.Linear):
        return None, None
    values = {name: value.detach() for name, value in head[1].named_parameters()}
    return values["weight"], values.get("bias")


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; training flags are as before afterwards."""
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, flag in flags:
            module.training = flag
