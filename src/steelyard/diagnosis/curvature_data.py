"""The rows whose curvature is measured: chosen once, held in memory, the same every time that they are asked for."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from steelyard.core.counts import CountsLike, as_counts, group_classes
from steelyard.core.errors import ArgumentError
from steelyard.core.grouping import as_labels, group_rows
from steelyard.core.rows import Batch
from steelyard.core.seeds import generator
from steelyard.core.task import Source, Task
from steelyard.data.resident import ResidentSource

Data: TypeAlias = "tuple[Any, Tensor] | Source | Iterable[Any]"
Batches: TypeAlias = "list[tuple[dict[str, Batch], Tensor]]"

PARTS = ("class", "group", None)


@dataclass(frozen=True)
class Part:
    """Some rows that share a Hessian.

    Args:
        name: of the class or group.
        classes: whose rows they are.
        available: rows that there are.
        rows: row numbers of those that were chosen.
    """

    name: str
    classes: tuple[int, ...]
    available: int
    rows: Tensor


@dataclass(frozen=True)
class Chosen:
    """The parts, and how to read them.

    Args:
        source: of the rows.
        task: that reads them; None for inputs that the model takes as they are.
        parts: each with a row or more.
        rule: of the groups.
        members: classes of "many", "medium" and "few".
    """

    source: Source
    task: Task | None
    parts: tuple[Part, ...]
    rule: str
    members: dict[str, tuple[int, ...]]

    def batches(self, part: Part, size: int, device: torch.device) -> Batches:
        """The rows of a part on a device, read once."""
        found: Batches = []
        target = self.source.target[part.rows]
        for number, (index, inputs) in enumerate(self.source.to(device).stream(torch.split(part.rows, size))):
            classes = target[number * size : (number + 1) * size].to(device)
            ready = inputs if self.task is None else self.task.load(inputs, augment="none", generator=None)
            found.append(({"batch": Batch(ready, classes, index)}, classes))
        return found


def choose(
    data: Data,
    *,
    task: Task | None,
    by: str | None,
    class_counts: CountsLike | None,
    groups: str,
    rows: int,
    seed: int,
) -> Chosen:
    """Choose rows; arguments as for `curvature`.

    Args:
        data: inputs and classes; a source, where there is a task; or batches of inputs and classes.
        task: reads the source.
        by: "class", "group" or None.
        class_counts: training rows of each class; counted if None.
        groups: the rule.
        rows: at most so many of each part.
        seed: of the choice.
    """
    if by not in PARTS:
        raise ArgumentError("by", "'class', 'group' or None", repr(by))
    source = _source(data, task)
    labels = as_labels(source.target, "target").long()
    counted = torch.bincount(labels, minlength=0 if task is None else task.num_classes)
    counts = counted if class_counts is None else as_counts(class_counts)
    if len(counts) < len(counted):
        raise ArgumentError(
            "class_counts", f"of at least {len(counted)} classes, which the data have", f"{len(counts)} entries"
        )
    grouped = group_classes(counts, groups)
    wanted: dict[str, tuple[int, ...]]
    if by == "class":
        names = [str(label) for label in range(len(counts))] if task is None else list(task.class_names)
        wanted = {name: (label,) for label, name in enumerate(names)}
    else:
        wanted = dict(grouped.members) if by == "group" else {"all": tuple(range(len(counts)))}
    sorted_rows = group_rows(labels, len(counts))
    parts = []
    for number, (name, classes) in enumerate(wanted.items()):
        there = torch.cat([sorted_rows.rows(label) for label in classes]) if classes else torch.empty(0, dtype=torch.int64)
        if there.numel() > 0:
            order = torch.randperm(len(there), generator=generator(seed, "curvature", "rows", number))[:rows]
            parts.append(Part(name, classes, len(there), there[order].sort().values))
    return Chosen(source, task, tuple(parts), grouped.rule, dict(grouped.members))


def _source(data: Data, task: Task | None) -> Source:
    if task is not None:
        if isinstance(data, tuple | list):
            raise ArgumentError("data", "a source of the task (`task.splits['train']`, say)", type(data).__name__)
        return data  # type: ignore[return-value]
    if isinstance(data, tuple):
        if len(data) != 2 or not isinstance(data[1], Tensor):
            raise ArgumentError("data", "inputs and classes [N]", f"a tuple of {len(data)}")
        return ResidentSource(*data)
    return _read(data)  # type: ignore[arg-type]


def _read(batches: Iterable[Any]) -> ResidentSource:
    """Everything in a loader, read twice to see that it comes the same."""
    found = list(_items(batches))
    if not found:
        raise ArgumentError("data", "batches of inputs and classes", "nothing")
    again = [_sum(batch) for batch in _items(batches)]
    if again != [_sum(batch) for batch in found]:
        expected = "the same batches in the same order every time; leave out augmentation and shuffling, and give no iterator"
        raise ArgumentError("data", expected, "batches that differ when they are read again")
    first = found[0][0]
    target = torch.cat([classes for _, classes in found])
    if isinstance(first, Mapping):
        return ResidentSource({name: torch.cat([inputs[name] for inputs, _ in found]) for name in first}, target)
    return ResidentSource(torch.cat([inputs for inputs, _ in found]), target)


def _items(batches: Iterable[Any]) -> Iterator[tuple[Any, Tensor]]:
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2 or not isinstance(batch[1], Tensor):
            raise ArgumentError("data", "batches of inputs and classes [N]; give the `task` of a source", type(batch).__name__)
        yield batch[0], batch[1]


def _sum(batch: tuple[Any, Tensor]) -> int:
    """A checksum of a batch."""
    inputs, classes = batch
    tensors = list(inputs.values()) if isinstance(inputs, Mapping) else [inputs]
    total = 0
    for values in (*tensors, classes):
        whole = values.detach().cpu().contiguous()
        total = zlib.crc32(whole.view(torch.uint8).numpy() if whole.ndim else whole.reshape(1).view(torch.uint8).numpy(), total)
    return total
