"""Geometry over training: a listener that measures training rows after an epoch."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.core.measure import Report
from steelyard.core.oracle import Oracle
from steelyard.core.roles import Assesses, Prepares
from steelyard.core.rows import Batch
from steelyard.core.task import Task
from steelyard.diagnosis.embeddings import choose_rows, embed, linear_head
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
        self.rows = choose_rows(task, split, per_class=per_class, seed=seed)
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
        found = embed(self.task, self._model, self.split, self.rows)
        if found.features is None:
            raise ArgumentError("model", "one whose last linear layer takes features [N, d]", type(self._model).__name__)
        features, logits, target = found.features, found.logits, found.target
        classifier, bias = linear_head(self._model)
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
