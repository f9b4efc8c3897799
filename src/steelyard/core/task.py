"""A task: named splits of rows, a model for them, and how a batch becomes rows. After that nobody knows the modality."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from steelyard.core.counts import count
from steelyard.core.errors import ArgumentError, CombinationError, DataError
from steelyard.core.figure import Figure
from steelyard.core.grouping import group_rows
from steelyard.core.rows import EMPTY, Batch, Rows
from steelyard.core.seeds import derive, generator


class Source(Protocol):
    """The rows of one split: resident on a device, or streamed."""

    target: Tensor
    """Classes `[N]`, int64, on the CPU."""

    def __len__(self) -> int:
        """Rows."""
        ...

    def to(self, device: torch.device) -> Source:
        """The same rows, ready to be read on `device`."""
        ...

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Any]]:
        """For each index tensor `[M]`: the index and the inputs of those rows, on the device."""
        ...


EVALUATION_ROWS = 1024
"""Inputs a batch when measuring: fixed, since a different batch may round differently."""


class Task(ABC):
    """Data, model and forward pass of a learning problem.

    Attributes:
        name: shown in tables.
        class_names: the label of class 0, 1, ..., C-1 as the user knows it.
        splits: `"train"`, and where they exist `"valid"` (cut from training data) and `"test"`.
        kind: of the data; methods that work on one kind only ask for it (see `TaskView.require`).
        usual_regime: the regime that "auto" means for such data.
        usual_metric: what a comparison of such data ranks by unless told otherwise.
        usual_methods: what a comparison of such data trains unless told otherwise; empty for the usual ones of any data.
        without: names of controls that make no sense for such data (mixing nodes, say), left out where all are asked for.
        own_metrics: names of the numbers that `further_metrics` gives, of each of which more is better.
        context: what such data have besides rows and what a method may see (the edges of a graph, ...); nothing of test labels.
    """

    kind: str = "arrays"
    usual_regime: str = "short"
    usual_metric: str = "balanced_accuracy"
    usual_methods: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    own_metrics: tuple[str, ...] = ()
    context: Mapping[str, Any] = EMPTY

    def __init__(self, name: str, class_names: Iterable[str], splits: Mapping[str, Source]) -> None:
        self.name = name
        self.class_names = tuple(class_names)
        self.splits = dict(splits)
        if "train" not in self.splits:
            raise DataError(f"task '{name}' has no training split; it has: {', '.join(self.splits) or 'none'}")

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)

    @cached_property
    def counts(self) -> Tensor:
        """Training rows per class, LongTensor `[C]`."""
        return count(self.splits["train"].target, self.num_classes)

    @abstractmethod
    def model(self) -> nn.Module:
        """A fresh model; its initial weights come from torch's global generator, which the caller has seeded."""

    def load(self, inputs: Any, *, augment: str, generator: torch.Generator | None) -> Any:
        """What the model is given, from what the source holds: normalised, and augmented unless `augment` is "none"."""
        if augment != "none":
            raise DataError(f"task '{self.name}' knows no augmentation '{augment}'; use augment='none'")
        return inputs

    def prepared(self, batch: Batch) -> Batch:
        """What `forward` makes of a batch before it asks the model: how much rows count, say. Twice is as once."""
        return batch

    def forward(self, model: nn.Module, batch: Batch) -> Rows:
        """Score a batch: model(inputs) gives logits `[M, C]`; rows of one input share its logits."""
        batch = self.prepared(batch)
        logits = model(batch.inputs)
        if not isinstance(logits, Tensor):
            raise DataError(
                f"the model should give logits as a tensor [N, {self.num_classes}]; found {type(logits).__name__}: wrap it in "
                "a module that returns them"
            )
        if logits.ndim != 2 or logits.shape[1] != self.num_classes:
            raise DataError(
                f"the model should give logits [N, {self.num_classes}] for the {self.num_classes} classes of '{self.name}'; "
                f"found shape {list(logits.shape)}"
            )
        if batch.owner is not None:
            logits = logits[batch.owner]
        return Rows(logits, batch.target, index=batch.index, share=batch.share, extra=batch.extra)

    def predict(self, model: nn.Module, source: Source) -> tuple[Tensor, Tensor]:
        """Score all of a split, in order; called with the model in evaluation mode and without gradients.

        A task whose inputs are several scored units each (the points of a cloud, the labels of an image) gives a row a unit.

        Args:
            model: on the device that `source` streams to.
            source: the rows.

        Returns:
            Logits `[N, C]` float32 and classes `[N]`, on the CPU.
        """
        order = torch.split(torch.arange(len(source)), EVALUATION_ROWS)
        parts = []
        for index, inputs in source.stream(order):
            batch = Batch(self.load(inputs, augment="none", generator=None), torch.zeros_like(index), index)
            parts.append(self.forward(model, batch).logits.float().cpu())
        return (torch.cat(parts) if parts else torch.empty(0, self.num_classes)), source.target

    def further_metrics(self, model: nn.Module, split: str, device: torch.device) -> dict[str, float]:
        """Numbers that only such data have, by the names in `own_metrics`; NaN where one is undefined.

        Args:
            model: on `device`; left in the mode that it was in.
            split: a name in `splits`.
            device: where to compute.
        """
        return {}

    def figures(self, proba: Any, target: Any) -> dict[str, Figure]:
        """Pictures of the data, or of what was decided, for the report: made with `steelyard.core.figure`, by names.

        Asked once a run, after training; the same names for all runs.

        Args:
            proba: the model's probabilities for the test rows `[N, C]`, a numpy array, in the order of `predict`.
            target: their classes `[N]`, a numpy array.
        """
        return {}

    def describe(self) -> dict[str, Any]:
        """What a report says about the data: JSON scalars and lists."""
        counts = {name: count(source.target, self.num_classes).tolist() for name, source in self.splits.items()}
        seen = [n for n in counts["train"] if n > 0]
        return {
            "name": self.name,
            "kind": self.kind,
            "rows": {name: len(source) for name, source in self.splits.items()},
            "class_names": list(self.class_names),
            "counts": counts,
            "imbalance_factor": max(seen) / min(seen),
            "features": None,
            "notes": [],
        }


class Part:
    """Some rows of a source, as a source: row i of it is row `rows[i]` of the whole.

    Args:
        whole: the source.
        rows: row numbers `[M]`, int64.
    """

    def __init__(self, whole: Source, rows: Tensor) -> None:
        self.whole, self.rows = whole, rows
        self.target = whole.target[rows]

    def __len__(self) -> int:
        """Rows."""
        return len(self.rows)

    def to(self, device: torch.device) -> Part:
        """The same rows on a device."""
        return Part(self.whole.to(device), self.rows)

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Any]]:
        """Index (into this part) and inputs of each batch."""
        asked: list[Tensor] = []  # a source may read batches ahead

        def of_the_whole() -> Iterator[Tensor]:
            for index in batches:
                asked.append(index)
                yield self.rows[index.cpu()]

        for place, inputs in self.whole.stream(of_the_whole()):
            yield asked.pop(0).to(place.device), inputs


class TaskView:
    """What a method may see of a task: never the test split.

    Attributes:
        name: the task's.
        class_names: the task's.
        counts: training rows per class `[C]`.
        kind: the task's.
        context: the task's.
        seed: of the run, for whatever a method draws.
    """

    def __init__(self, task: Task, seed: int = 0, device: torch.device | str = "cpu") -> None:
        self.name, self.class_names, self.counts, self.seed = task.name, task.class_names, task.counts, seed
        self.kind, self.context = task.kind, task.context
        self._visible = copy.copy(task)
        self._visible.splits = {name: part for name, part in task.splits.items() if name != "test"}
        self._build, self._seed, self._device = task.model, seed, torch.device(device)
        self._train, self._valid = task.splits["train"], task.splits.get("valid")

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)

    @property
    def train(self) -> Source:
        """The training rows."""
        return self._train

    @property
    def valid(self) -> Source | None:
        """The validation rows, cut from training data; None where there are none."""
        return self._valid

    def require(self, kind: str, method: str) -> None:
        """Refuse data of another kind than a method works on.

        Raises:
            CombinationError: the data are of another kind.
        """
        if self.kind != kind:
            raise CombinationError(f"method '{method}' works on {kind}; '{self.name}' are {self.kind}: leave it out")

    def on(self, train: Source) -> Task:
        """The task with other training rows, for `Stage(task=...)`; it has no test split."""
        task = copy.copy(self._visible)
        task.splits = task.splits | {"train": train}
        vars(task).pop("counts", None)
        return task

    def reserve(self, per_class: int) -> tuple[Task, Part]:
        """Cut a balanced set off the training rows, to judge weights by.

        Of a class with n rows, min(per_class, n // 2) are taken out of training; a class's only row is lent instead, and is
        in both. Which rows, depends on the run's seed.

        Args:
            per_class: rows wanted of each class, 1 or more.

        Returns:
            The task without those rows (and without a test split), and the rows.

        Raises:
            ArgumentError: `per_class` below 1.
        """
        if per_class < 1:
            raise ArgumentError("per_class", "at least 1", per_class)
        grouped = group_rows(self._train.target, self.num_classes)
        taken, lent = list[Tensor](), list[Tensor]()
        stream = generator(self.seed, "reserve")
        for label, size in enumerate(grouped.counts.tolist()):
            chosen = grouped.rows(label)[torch.randperm(size, generator=stream)[: min(per_class, max(size // 2, 1))]]
            (taken if size > 1 else lent).append(chosen)
        kept = torch.ones(len(self._train), dtype=torch.bool)
        kept[torch.cat([*taken, torch.empty(0, dtype=torch.int64)])] = False
        reserved = torch.cat(taken + lent).sort().values
        return self.on(Part(self._train, kept.nonzero().flatten())), Part(self._train, reserved)

    def model(self) -> nn.Module:
        """A fresh model on the run's device: the same initial weights at every call and for every method of a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self._seed, "init"))
            return self._build().to(self._device)
