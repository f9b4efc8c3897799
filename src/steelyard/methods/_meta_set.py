"""Where a meta-learning method takes the rows from that it judges weights by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.pool import RowPool, check_source
from steelyard.core.sampler import ShuffledSampler
from steelyard.core.task import Source, Task, TaskView
from steelyard.samplers import BalancedSampler

MetaFrom = Literal["auto", "held_out", "train"]
SPARED = 5
"""How many times the rows asked for the smallest class must have for them to be taken out of training: a fifth at most goes."""


def meta_set(
    task: TaskView, rows: int, where: MetaFrom, batch_size: int, given: Source | None = None
) -> tuple[Task | None, RowPool]:
    """The task to train on (None: as it is) and the meta set.

    Args:
        task: what is learnt.
        rows: meta rows of each class, 1 or more.
        where: "held_out" takes them out of the training rows (of a class with n rows at most n // 2; a class's only row is
            lent, and in both); "train" draws classes equally often from all training rows, and takes none out; "auto" is
            "held_out" where that takes at most a fifth of any class, and "train" otherwise.
        batch_size: meta rows a step.
        given: rows of the user's own instead of both.

    Raises:
        ArgumentError: `where` is none of these, `rows` is below 1, or what was given are no rows of these classes, or not
            of the kind of the training rows.
    """
    if rows < 1:
        raise ArgumentError("meta_rows", "at least 1", rows)
    if given is not None:
        _check_given(given, task)
        return None, RowPool(given, batch_size=batch_size, sampler=BalancedSampler, seed=task.seed)
    where = chosen(task, rows, where)
    if where == "train":
        return None, RowPool(task.train, batch_size=batch_size, sampler=BalancedSampler, seed=task.seed)
    if where != "held_out":
        raise ArgumentError("meta_from", "'auto', 'held_out' or 'train'", repr(where))
    rest, meta = task.reserve(rows)
    sizes = meta.target.bincount(minlength=task.num_classes)
    even = bool((sizes[sizes > 0] == sizes.max()).all())
    return rest, RowPool(meta, batch_size=batch_size, sampler=ShuffledSampler if even else BalancedSampler, seed=task.seed)


def _check_given(given: Source, task: TaskView) -> None:
    check_source(given, "meta")
    target = given.target
    if len(target) == 0:
        raise ArgumentError("meta", "at least one row", "none")
    lowest, highest = int(target.min()), int(target.max())
    if lowest < 0 or highest >= task.num_classes:
        wrong = lowest if lowest < 0 else highest
        raise ArgumentError("meta", f"rows of the classes 0 to {task.num_classes - 1}", f"class {wrong}")
    asked, found = _kind(task.train), _kind(given)
    if asked != found:
        raise ArgumentError("meta", f"rows as the training rows are held, before normalisation: {asked}", found)


def _kind(source: Source) -> str:
    """What a source's inputs are, as far as all rows of a data set have it in common: not the height and width of images."""
    _, inputs = next(iter(source.stream(iter([torch.zeros(1, dtype=torch.int64)]))))
    if isinstance(inputs, Mapping):
        return f"a mapping of {', '.join(sorted(map(repr, inputs)))}"
    if isinstance(inputs, Tensor):
        shape = ["N", *(str(size) for size in inputs.shape[1:2]), *("any" for _ in inputs.shape[2:])]
        return f"{str(inputs.dtype).removeprefix('torch.')} [{', '.join(shape)}]"
    return f"a {type(inputs).__name__}"


def chosen(task: TaskView, rows: int, where: MetaFrom) -> MetaFrom:
    """What "auto" is for the task; the others are what they are."""
    if where != "auto":
        return where
    return "held_out" if int(task.counts[task.counts > 0].min()) >= SPARED * rows else "train"
