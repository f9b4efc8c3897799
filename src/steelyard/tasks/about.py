"""What every task says about itself in a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.counts import count
from steelyard.core.task import Source, Task
from steelyard.tasks.models import Builder


class ModelledTask(Task):
    """A task that makes its models with a `Builder` and remembers what was noted about its data.

    Args:
        name: shown in tables.
        class_names: labels of class 0, 1, ...
        splits: "train", and where they exist "valid" and "test".
        build: makes models.
        kind: "images", "tables" or "arrays".
        features: shape of an input in words.
        notes: what was left out or decided about the data, a sentence each.

    Attributes:
        model_name: what the report calls the model.
        facts: further JSON values for `describe`.
        noise_transition: where training labels were changed on purpose, `[C, C]`: row i is how class i was relabelled.
    """

    def __init__(
        self,
        name: str,
        class_names: Iterable[str],
        splits: Mapping[str, Source],
        build: Builder,
        *,
        kind: str,
        features: str,
        notes: Iterable[str] = (),
    ) -> None:
        super().__init__(name, class_names, splits)
        self._build, self.kind, self.features, self.notes = build, kind, features, tuple(notes)
        self.model_name = build.name
        self.facts: dict[str, Any] = {}
        self.noise_transition: Tensor | None = None

    def load(self, inputs: Any, *, augment: str, generator: torch.Generator | None) -> Any:
        """Inputs as they are: "strong", the strongest augmentation that a task has, is none where it has none."""
        return super().load(inputs, augment="none" if augment == "strong" else augment, generator=generator)

    def model(self) -> nn.Module:
        """A fresh model; its initial weights come from torch's global generator, which the caller has seeded."""
        return self._build()

    def describe(self) -> dict[str, Any]:
        """What a report says about the data: JSON scalars and lists."""
        counts = {split: count(source.target, self.num_classes).tolist() for split, source in self.splits.items()}
        seen = [n for n in counts["train"] if n > 0]
        return {
            "name": self.name,
            "kind": self.kind,
            "rows": {split: len(source) for split, source in self.splits.items()},
            "class_names": list(self.class_names),
            "counts": counts,
            "imbalance_factor": max(seen) / min(seen),
            "features": self.features,
            "notes": list(self.notes),
        } | self.facts
