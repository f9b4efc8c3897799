"""The task of a label for every point of a cloud."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.errors import CombinationError, DataError
from steelyard.core.figure import Figure, cloud
from steelyard.core.measure import predict_logits
from steelyard.core.rows import Batch, Rows
from steelyard.core.task import Source
from steelyard.nets.point_mlp import PointNet
from steelyard.tasks.about import ModelledTask
from steelyard.tasks.models import Builder
from steelyard.tasks.points.numbers import NUMBERS, numbers_of
from steelyard.tasks.points.shown import Shown

SAMPLES = 16
"""Samples a batch when measuring."""


class PointTask(ModelledTask):
    """Points as rows: an input is a sample of n points of a cloud, and each point that it is asked for is a row.

    So class sizes are counted in points, and every loss and weighting sees points; a sampler draws samples, by the class that
    is most over-represented in each against the training points as a whole. The other points of a sample are surroundings:
    seen by the network, never counted.

    Args:
        name: shown in tables.
        class_names: labels of class 0, 1, ...
        splits: sources of mappings "xyz" `[M, n, 3]`, "features" `[M, n, F]`, "label" `[M, n]`, "asked" `[M, n]` bool and
            "point" `[M, n]`, numbers of the points in the split.
        build: makes models; called with `(xyz, features, asked)`, see `steelyard.nets.PointNet`.
        positive: the class that recall, specificity, ... are those of.
        notes: sentences about the data.

    Attributes:
        shown: points of a test cloud for the report's picture; None for none.
    """

    usual_regime = "points"
    usual_metric = "g_mean"
    usual_methods = ("ce", "posthoc-la", "la", "balanced-softmax", "inverse-frequency", "focal", "soul")
    without = ("mixup-bs",)

    def __init__(
        self,
        name: str,
        class_names: Iterable[str],
        splits: Mapping[str, Source],
        build: Builder,
        *,
        positive: str,
        notes: Iterable[str] = (),
    ) -> None:
        names = tuple(class_names)
        super().__init__(name, names, splits, build, kind="points", features="x, y, z and geometric features", notes=notes)
        self.positive = names.index(positive)
        prefix = "_".join(positive.split())
        self.own_metrics = tuple(f"{prefix}_{number}" for number in NUMBERS)
        self.mean, self.std = self._statistics()
        self.shown: Shown | None = None

    @cached_property
    def counts(self) -> Tensor:
        """Training points per class, LongTensor `[C]`."""
        return self._counted(self.splits["train"])

    def _counted(self, source: Source) -> Tensor:
        found = torch.zeros(self.num_classes, dtype=torch.int64)
        for inputs in _all_of(source):
            found += torch.bincount(inputs["label"][inputs["asked"]].cpu(), minlength=self.num_classes)
        return found

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each feature over the training points `[F]`."""
        total, square, points = torch.zeros(()), torch.zeros(()), 0
        for inputs in _all_of(self.splits["train"]):
            values = inputs["features"][inputs["asked"]].double().cpu()
            total, square, points = total + values.sum(0), square + values.square().sum(0), points + len(values)
        if points == 0:
            raise DataError(f"no training point of '{self.name}' has a label")
        mean = total / points
        return mean.float(), (square / points - mean.square()).clamp_min(0).sqrt().float()

    def model(self) -> nn.Module:
        """A fresh model that knows mean and standard deviation of the training points' features."""
        model = super().model()
        if isinstance(model, PointNet):
            model.standardise(self.mean, self.std)
        return model

    def load(self, inputs: Any, *, augment: str, generator: torch.Generator | None) -> Any:
        """Samples as they are, or with "rotate" (what "strong" stands for) each turned by a random angle about the vertical."""
        if augment in ("rotate", "strong") and generator is not None:
            return {**inputs, "xyz": _turned(inputs["xyz"], generator)}
        return super().load(inputs, augment="none" if augment == "rotate" else augment, generator=generator)

    def forward(self, model: nn.Module, batch: Batch) -> Rows:
        """A row for each point that is asked for, in the order of the samples and then of their points."""
        if batch.owner is not None:
            raise CombinationError(
                "samples of points cannot be mixed, as a point of one has no partner in another: leave out mixup and its kind"
            )
        if "views" in batch.extra:
            raise CombinationError("there are no views of samples of points to compare: leave out methods that compare views")
        inputs = batch.inputs
        asked = inputs["asked"]
        logits = model(inputs["xyz"], inputs["features"], asked)
        if isinstance(logits, Tensor) and logits.shape == (*asked.shape, self.num_classes):
            logits = logits[asked]
        if not isinstance(logits, Tensor) or logits.shape != (int(asked.sum()), self.num_classes):
            found = f"shape {list(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise DataError(
                f"the model should give logits [B, n, {self.num_classes}] for xyz [B, n, 3], or a row for each point that is "
                f"asked for; found {found}"
            )
        owner = torch.arange(len(asked), device=asked.device).unsqueeze(1).expand_as(asked)[asked]
        share = None if batch.share is None else batch.share[owner]
        return Rows(logits, inputs["label"][asked], index=inputs["point"][asked], share=share, extra=batch.extra)

    def predict(self, model: nn.Module, source: Source) -> tuple[Tensor, Tensor]:
        """Logits `[N, C]` and classes `[N]` of the N labelled points of a split, by their numbers."""
        logits, target, point = [], [], []
        for index in torch.arange(len(source)).split(SAMPLES):
            for place, inputs in source.stream([index]):
                batch = Batch(self.load(inputs, augment="none", generator=None), source.target[index].to(place.device), place)
                rows = self.forward(model, batch)
                logits.append(rows.logits.float().cpu())
                target.append(rows.target.cpu())
                point.append(inputs["point"][inputs["asked"]].cpu())
        if not logits:
            return torch.empty(0, self.num_classes), torch.empty(0, dtype=torch.int64)
        order = torch.cat(point).argsort()
        return torch.cat(logits)[order], torch.cat(target)[order]

    def further_metrics(self, model: nn.Module, split: str, device: torch.device) -> dict[str, float]:
        """Recall, specificity, G-mean, MCC and AUROC of the positive class, which is in their names."""
        logits, target = predict_logits(self, model, self.splits[split].to(device))
        proba = torch.softmax(logits.double(), 1).numpy()
        found = numbers_of(proba, target.numpy(), self.positive)
        return dict(zip(self.own_metrics, (found[name] for name in NUMBERS), strict=True))

    def figures(self, proba: np.ndarray, target: np.ndarray) -> dict[str, Figure]:
        """The points that are shown of a test cloud, with their true and their decided classes; none without coordinates."""
        if self.shown is None:
            return {}
        point = self.shown.point
        made = cloud(
            f"A test cloud: {self.shown.name}",
            "Labelled points that no model was trained on.",
            xyz=np.round(self.shown.xyz, 2).tolist(),
            classes=self.class_names,
            true=target[point].tolist(),
            decided=proba[point].argmax(1).tolist(),
            whole=self.shown.whole,
        )
        return {"cloud": made}

    def describe(self) -> dict[str, Any]:
        """What a report says about the data, in points."""
        counts = {split: self._counted(source).tolist() for split, source in self.splits.items()}
        seen = [n for n in counts["train"] if n > 0]
        others = [name for i, name in enumerate(self.class_names) if i != self.positive]
        return {
            "name": self.name,
            "kind": self.kind,
            "rows": {split: sum(numbers) for split, numbers in counts.items()},
            "samples": {split: len(source) for split, source in self.splits.items()},
            "class_names": list(self.class_names),
            "counts": counts,
            "imbalance_factor": max(seen) / min(seen),
            "features": self.features,
            "positive": f"{self.class_names[self.positive]}; negative: {' and '.join(others)}",
            "notes": list(self.notes),
        } | self.facts


def _all_of(source: Source) -> Iterable[Any]:
    for _, inputs in source.stream(torch.arange(len(source)).split(256)):
        yield inputs


def _turned(xyz: Tensor, generator: torch.Generator) -> Tensor:
    angle = 2 * torch.pi * torch.rand(len(xyz), generator=generator, device=generator.device).to(xyz.device)
    cosine, sine = angle.cos().unsqueeze(1), angle.sin().unsqueeze(1)
    x, y, z = (xyz - 0.5).unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y, z], -1) + 0.5
