"""Where a meta-learning method takes the rows from that it judges weights by."""

from __future__ import annotations

from typing import Literal

from steelyard.core.errors import ArgumentError
from steelyard.core.pool import RowPool
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
        ArgumentError: `where` is none of these, `rows` is below 1, or what was given are no rows of these classes.
    """
    if rows < 1:
        raise ArgumentError("meta_rows", "at least 1", rows)
    if given is not None:
        _check_given(given, task.num_classes)
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


def _check_given(given: Source, num_classes: int) -> None:
    try:
        target, _ = given.target, given.stream
    except AttributeError:  # inputs and classes as they are, for one
        expected = "a source of rows, as steelyard.data.ResidentSource(inputs, target) makes one"
        raise ArgumentError("meta", expected, f"a {type(given).__name__}") from None
    if len(target) == 0:
        raise ArgumentError("meta", "at least one row", "none")
    lowest, highest = int(target.min()), int(target.max())
    if lowest < 0 or highest >= num_classes:
        wrong = lowest if lowest < 0 else highest
        raise ArgumentError("meta", f"rows of the classes 0 to {num_classes - 1}", f"class {wrong}")


def chosen(task: TaskView, rows: int, where: MetaFrom) -> MetaFrom:
    """What "auto" is for the task; the others are what they are."""
    if where != "auto":
        return where
    return "held_out" if int(task.counts[task.counts > 0].min()) >= SPARED * rows else "train"
