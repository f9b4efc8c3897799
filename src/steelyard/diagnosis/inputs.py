"""What the models of a task are given, as numbers of which distances can be taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.task import EVALUATION_ROWS, Task
from steelyard.metrics.arrays import Floats

MEASURABLE = ("images", "tables", "arrays")
"""Kinds of data whose inputs are numbers, a row each."""

CELLS = 4_000_000
"""Rows times columns at most."""

LEVELS = 50
"""A category of more levels is left out: a 0/1 column each would be most of the columns."""


def inputs_of(task: Task, split: str, rows: Tensor) -> tuple[Floats | None, str]:
    """Inputs of rows of a split as numbers `[N, d]`: normalised, not augmented, categories as 0/1 columns.

    Args:
        task: reads them.
        split: name of the split.
        rows: numbers of the rows, ascending.

    Returns:
        The numbers, or None and why not, as the end of a sentence.
    """
    if task.kind not in MEASURABLE:
        return None, f"{task.kind} are no rows of numbers"
    numbers, codes = list[Tensor](), list[Tensor]()
    for _, inputs in task.splits[split].stream(torch.split(rows, EVALUATION_ROWS)):
        ready = task.load(inputs, augment="none", generator=None)
        if not isinstance(ready, Tensor | Mapping):
            return None, f"a {type(ready).__name__} is no row of numbers"
        values = {"": ready.float()} if isinstance(ready, Tensor) else dict(ready)
        numbers.append(_flat(values.values(), floating=True))
        codes.append(_flat(values.values(), floating=False))
        if numbers[-1].shape[1] * len(rows) > CELLS:
            return None, f"{numbers[-1].shape[1]:,} numbers a row are too many here; `steelyard diagnose DATA` measures them"
    columns = [torch.cat(numbers).double(), *(_indicators(column) for column in torch.cat(codes).T)]
    return torch.cat(columns, 1).numpy(), ""


def _flat(values: Iterable[Tensor], *, floating: bool) -> Tensor:
    """The parts of a batch that are floats, or those that are codes of categories, beside each other `[M, d]`."""
    parts = [part.reshape(len(part), -1).cpu() for part in values]
    kept = [part for part in parts if part.is_floating_point() == floating]
    return torch.cat(kept, 1) if kept else torch.empty(len(parts[0]), 0)


def _indicators(codes: Tensor) -> Tensor:
    """A 0/1 column for each level `[N, levels]`; none where there are too many."""
    levels, place = codes.unique(return_inverse=True)
    return F.one_hot(place).double() if len(levels) <= LEVELS else torch.empty(len(codes), 0, dtype=torch.float64)
