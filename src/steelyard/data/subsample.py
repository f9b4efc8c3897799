"""Rows of each class picked at random without replacement."""

from __future__ import annotations

import torch
from torch import Tensor

from steelyard.core.counts import CountsLike, as_counts
from steelyard.core.errors import ArgumentError
from steelyard.core.grouping import LabelsLike, as_labels, group_rows
from steelyard.core.seeds import generator


def subsample(targets: LabelsLike, counts: CountsLike, seed: int = 0) -> Tensor:
    """Pick exactly `counts[c]` rows of each class at random, none twice.

    A class's rows are shuffled by a stream of its own and the first `counts[c]` are taken. So, with one seed, a smaller
    subsample is part of a larger one, and what is picked from a class does not depend on the other classes.

    Args:
        targets: class of each row `[N]`, integers 0..C-1.
        counts: rows wanted of each class `[C]`, >= 0 (see `imbalance_profile`); one entry for every class in `targets`.
        seed: the same seed picks the same rows.

    Returns:
        Row indices `[sum of counts]`, int64, ascending.

    Raises:
        ArgumentError: a class has fewer rows than wanted, or `counts` has too few entries.

    Departures:
        - The code of CDB and ImbSAM takes the first images of a class; a file that is sorted by anything biases that.

    Example:
        >>> rows = subsample([0, 0, 0, 1, 1, 1], [2, 1], seed=0)
        >>> len(rows), int((rows >= 3).sum())
        (3, 1)
    """
    labels = as_labels(targets)
    wanted = as_counts(counts, "counts")
    classes = int(labels.max()) + 1
    if len(wanted) < classes:
        raise ArgumentError("counts", f"one number for each of the {classes} classes in the targets", f"{len(wanted)} numbers")
    grouped = group_rows(labels, len(wanted))
    short = (grouped.counts < wanted).nonzero().flatten()
    if len(short):
        label = int(short[0])
        expected = f"at most the {int(grouped.counts[label])} rows that class {label} has"
        raise ArgumentError("counts", expected, f"{int(wanted[label])} wanted")
    picked = [_pick(grouped.rows(label), int(wanted[label]), seed, label) for label in wanted.nonzero().flatten().tolist()]
    return torch.cat(picked).sort().values


def _pick(rows: Tensor, wanted: int, seed: int, label: int) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator(seed, "subsample", label))[:wanted]]
