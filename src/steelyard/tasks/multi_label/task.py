"""The task: any kind of examples, with several labels each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.counts import group_classes
from steelyard.core.errors import CombinationError, DataError
from steelyard.core.head import Tap
from steelyard.core.modes import evaluating
from steelyard.core.rows import LABEL_SETS, Batch, Rows
from steelyard.core.task import EVALUATION_ROWS, Source, Task
from steelyard.decisions import LabelThresholds
from steelyard.metrics.multi_label import label_metrics
from steelyard.tasks.about import ModelledTask
from steelyard.tasks.multi_label.rows import Pairs, label_rows, log_odds
from steelyard.tasks.multi_label.sources import LabelledSource, example_classes, label_counts, labels_of

MOST_ENTRIES = 1 << 28
"""Numbers in the scores of a split, rows times classes: 2 GiB in float64, the largest of several arrays when it is judged."""


class MultiLabelTask(Task):
    """Examples with several labels each, a row for each label of each example.

    A class is a label with one of its two states, so L labels are 2L classes: class 2l is the absence of label l, class
    2l + 1 its presence. In a row only the two classes of its label are possible, so that every loss, weighting and descent
    works label by label with the class sizes of each.

    Args:
        inner: the same examples as a task of another kind (a table, images, arrays) with 2L classes, which gives models,
            inputs and their preparation; its targets are not used.
        labels: `[N, L]` by split, 1 for present, 0 for absent, NaN for not known.
        label_names: L names.
        scores_a_label: the model is the user's and may give one score a label (see `Pairs`).

    Raises:
        DataError: too many labels and examples to be judged in memory.

    Example:
        >>> from steelyard.data import ResidentSource
        >>> from steelyard.tasks import ArrayTask
        >>> source = ResidentSource(torch.zeros(4, 5), torch.zeros(4, dtype=torch.int64))
        >>> inner = ArrayTask("mine", class_names(["cat", "dog"]), {"train": source})
        >>> task = MultiLabelTask(inner, {"train": torch.tensor([[1.0, 0], [1, 0], [0, 0], [1, 1]])}, ["cat", "dog"])
        >>> task.class_names, task.counts
        (('cat: no', 'cat: yes', 'dog: no', 'dog: yes'), tensor([1, 3, 3, 1]))
    """

    usual_metric = "map"
    usual_methods = (
        "ce", "la", "inverse-frequency", "drw", "focal", "distribution-balanced", "asymmetric", "balanced-sampling",
    )  # fmt: skip
    own_metrics = (
        "map", "label_auroc", "micro_f1", "label_f1", "tuned_micro_f1", "tuned_label_f1", "label_recall", "tuned_label_recall",
        "many_label_recall", "medium_label_recall", "few_label_recall",
    )  # fmt: skip

    def __init__(
        self,
        inner: ModelledTask,
        labels: Mapping[str, Tensor],
        label_names: Iterable[str],
        *,
        scores_a_label: bool = False,
    ) -> None:
        self.inner, self.label_names, self.scores_a_label = inner, tuple(label_names), scores_a_label
        counts = label_counts(labels["train"])
        _refuse_too_many(inner.name, labels)
        splits = {
            name: LabelledSource(source, labels[name], example_classes(labels[name], counts))
            for name, source in inner.splits.items()
        }
        super().__init__(inner.name, class_names(self.label_names), splits)
        self.kind, self.usual_regime = "multi-label", inner.usual_regime

    @cached_property
    def counts(self) -> Tensor:
        """Training rows of each class `[2L]`: how often each label is absent and present, where it is known."""
        return label_counts(labels_of(self.splits["train"]))

    def model(self) -> nn.Module:
        """A fresh model with 2L scores."""
        model = self.inner.model()
        return Pairs(model, len(self.label_names)) if self.scores_a_label else model

    def load(self, inputs: Any, *, augment: str, generator: torch.Generator | None) -> Any:
        """Inputs prepared as those of the task inside; labels as they are."""
        return inputs | {"inputs": self.inner.load(inputs["inputs"], augment=augment, generator=generator)}

    def forward(self, model: nn.Module, batch: Batch) -> Rows:
        """A row for each label of each example; see `label_rows`."""
        if batch.extra:
            named = ", ".join(f"'{name}'" for name in batch.extra)
            raise CombinationError(
                f"a transform adds {named} to each row, and an example with several labels has several rows: use a method "
                "without it"
            )
        self._refuse_large(len(batch.inputs[LABEL_SETS]))
        tap = Tap(model)
        try:
            scores = self._scores(model, batch.inputs)
            features = tap.take()
        finally:
            tap.close()
        if features is not None and features.ndim != 2:
            features = None
        mixed = batch.owner is not None
        return label_rows(
            scores, batch.inputs[LABEL_SETS], features=features, share=None if mixed else batch.share, mixed=mixed
        )

    def _scores(self, model: nn.Module, inputs: Any) -> Tensor:
        scores = model(inputs["inputs"])
        expected = 2 * len(self.label_names)
        if not isinstance(scores, Tensor) or scores.ndim != 2 or scores.shape[1] != expected:
            found = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise DataError(
                f"the model should give [N, {len(self.label_names)}], a score a label of '{self.name}', or [N, {expected}], "
                f"one for the absence and one for the presence of each; found {found}"
            )
        return scores

    def _refuse_large(self, examples: int) -> None:
        most = self._most_examples()
        if examples > max(1, most):
            raise DataError(
                f"a batch of {examples} examples with {len(self.label_names)} labels has too many scores: set batch_size to "
                f"{most} or less"
            )

    def predict(self, model: nn.Module, source: Source) -> tuple[Tensor, Tensor]:
        """Logits `[R, 2L]` and classes `[R]` of the known labels of all examples, the labels of one after another."""
        logits, target = [torch.empty(0, self.num_classes)], [torch.empty(0, dtype=torch.int64)]
        for batch in self._batches(source, min(EVALUATION_ROWS, self._most_examples())):
            rows = self.forward(model, batch)
            assert rows.share is not None
            known = rows.share > 0
            logits.append(rows.logits[known].float().cpu())
            target.append(rows.target[known].cpu())
        return torch.cat(logits), torch.cat(target)

    @torch.no_grad()
    def predict_log_odds(self, model: nn.Module, source: Source) -> Tensor:
        """Log-odds of every label of every example `[N, L]`, float64 on the CPU; without the rows, so that labels may be many.

        Args:
            model: on the device that `source` streams to; its training flags are as before afterwards.
            source: the examples.
        """
        with evaluating(model):
            found = [log_odds(self._scores(model, batch.inputs)).double().cpu() for batch in self._batches(source)]
        return torch.cat([torch.empty(0, len(self.label_names), dtype=torch.float64), *found])

    def _most_examples(self) -> int:
        """Examples of which the rows may be in memory at once."""
        return max(1, MOST_ENTRIES // (8 * len(self.label_names) ** 2))

    def _batches(self, source: Source, size: int = EVALUATION_ROWS) -> Iterable[Batch]:
        order = torch.split(torch.arange(len(source)), size)
        for index, inputs in source.stream(order):
            yield Batch(self.load(inputs, augment="none", generator=None), torch.zeros_like(index), index)

    def further_metrics(self, model: nn.Module, split: str, device: torch.device) -> dict[str, float]:
        """Means over labels, decided at 0.5 and at thresholds that have the best F1 of each label on the validation rows."""
        known: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name in {split, "valid"} & set(self.splits):
            source = self.splits[name]
            proba = torch.sigmoid(self.predict_log_odds(model, source.to(device))).numpy()
            known[name] = proba, labels_of(source).numpy()
        groups = group_classes(self.counts[1::2].clamp_min(1)).members
        tuned = LabelThresholds.for_metric(*known["valid"]).thresholds.numpy() if "valid" in known else None
        found = label_metrics(*known[split], thresholds=tuned)
        recalls = found.pop("recalls")
        means = {name: _mean(recalls[list(members)]) for name, members in groups.items()}
        return {name: float(value) for name, value in found.items()} | {
            f"{name}_label_recall": means[name] for name in ("many", "medium", "few")
        }

    def describe(self) -> dict[str, Any]:
        """What a report says about the data: that of the examples, with rows of each class by split."""
        counts = {name: label_counts(labels_of(source)) for name, source in self.splits.items()}
        labels = labels_of(self.splits["train"])
        seen = counts["train"][counts["train"] > 0]
        present = (labels == 1).sum(1).double().mean()
        missing = labels.isnan().double().mean()
        return self.inner.describe() | {
            "kind": self.kind,
            "class_names": list(self.class_names),
            "counts": {name: values.tolist() for name, values in counts.items()},
            "imbalance_factor": float(seen.max()) / float(seen.min()),
            "labels": list(self.label_names),
            "labels_an_example": float(present),
            "labels_not_known": float(missing),
        }


def class_names(label_names: Iterable[str]) -> list[str]:
    """Names of the 2L classes.

    Example:
        >>> class_names(["cat"])
        ['cat: no', 'cat: yes']
    """
    return [f"{name}: {state}" for name in label_names for state in ("no", "yes")]


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _refuse_too_many(name: str, labels: Mapping[str, Tensor]) -> None:
    for split, values in labels.items():
        examples, count = values.shape
        entries = examples * count * 2 * count
        if split != "train" and entries > MOST_ENTRIES:
            most = MOST_ENTRIES // (2 * count * count)
            raise DataError(
                f"'{name}' has {examples} {split} examples with {count} labels, {entries / 2**27:.1f} GiB of scores when they "
                f"are judged: give at most {most} {split} examples, or fewer labels"
            )
