"""Which rows a model learns from and which it is judged by: a held-out part of many rows, folds of few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steelyard.core.counts import count
from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import generator
from steelyard.data.splits import hold_out, thin

FEW_ROWS = 20_000
"""Up to this many rows, "auto" makes folds: every row then also says how good the model is."""
FOLDS = 5
FRACTION = 0.15
MOST_HELD = 100_000
"""Rows that are held out at most: more would not make thresholds better, and training poorer."""
NO_ROWS = torch.empty(0, dtype=torch.int64)


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to judge by.

    Attributes:
        train: row numbers `[M]`, ascending.
        valid: held-out row numbers, ascending; empty where there are folds, or nothing to hold out.
        folds: fold of each row of `train` `[M]`; None without folds.
        lone: which rows of `train` are the only ones of their class `[M]`: no member that did not see them can be judged by
            them; None without folds.
    """

    train: Tensor
    valid: Tensor
    folds: Tensor | None = None
    lone: Tensor | None = None

    @property
    def judging(self) -> Tensor | None:
        """Which rows of `train` are judged by members that did not learn from them `[M]`; None without folds."""
        if self.folds is None:
            return None
        return torch.ones(len(self.train), dtype=torch.bool) if self.lone is None else ~self.lone

    @property
    def judged(self) -> Tensor:
        """Row numbers that a member is judged by which did not learn from them, ascending."""
        judging = self.judging
        return self.valid if judging is None else self.train[judging]

    @property
    def num_folds(self) -> int:
        """Folds, 0 without."""
        return 0 if self.folds is None else int(self.folds.max()) + 1

    def words(self) -> str:
        """For a report."""
        if self.folds is not None:
            return f"{self.num_folds} folds"
        return f"{len(self.valid)} rows held out" if len(self.valid) else "no rows held out"

    def thinned(self, target: Tensor, most: int, seed: int) -> Split:
        """About `most` rows to learn from and to judge by, drawn by class."""
        kept = thin(target[self.train], most, seed=seed)
        valid = self.valid[thin(target[self.valid], most, seed=seed)] if len(self.valid) else self.valid
        if self.folds is None:
            return Split(self.train[kept], valid)
        return _folded(self.train[kept], target, self.num_folds, seed)


def choose_split(target: Tensor, validation: str | int | float, *, seed: int = 0) -> Split:
    """Cut rows by class.

    Args:
        target: classes `[N]`.
        validation: a fraction in (0, 1) to hold out; a number of folds, 2 or more; or "auto": 5 folds up to 20,000 rows, else
            15 %, at most 100,000 rows. A class's only row is never judged by.
        seed: of the cut.

    Raises:
        ArgumentError: `validation` is none of these.

    Example:
        >>> split = choose_split(torch.tensor([0] * 8 + [1] * 2), 2)
        >>> torch.bincount(split.folds).tolist(), choose_split(torch.tensor([0] * 8 + [1] * 2), 0.25).valid.numel()
        ([5, 5], 3)
    """
    rows = len(target)
    expected = "'auto', a fraction in (0, 1), or a number of folds (2 or more)"
    if isinstance(validation, str) and validation == "auto":
        validation = FOLDS if rows <= FEW_ROWS else min(FRACTION, MOST_HELD / rows)
    if isinstance(validation, int | np.integer) and not isinstance(validation, bool) and validation >= 2:
        return _folded(torch.arange(rows), target, int(validation), seed)
    if isinstance(validation, float | np.floating) and 0 < validation < 1:
        return Split(*hold_out(target, float(validation), seed=seed))
    raise ArgumentError("validation", expected, repr(validation))


def given_split(split: Any, rows: int) -> Split:
    """A split of the user's: two arrays of row numbers (to learn from, to judge by), or the fold of each row.

    Raises:
        ArgumentError: row numbers outside the table or in both parts, no rows to learn from, or fewer than two folds.

    Example:
        >>> given_split(([0, 1, 2], [3]), 4).words(), given_split([0, 1, 0, 1], 4).words()
        ('1 rows held out', '2 folds')
    """
    if isinstance(split, Split):
        return split
    if isinstance(split, tuple) and len(split) == 2:
        train, valid = (torch.as_tensor(part, dtype=torch.int64).sort().values for part in split)
        both = torch.cat([train, valid])
        if len(train) == 0 or int(both.min()) < 0 or int(both.max()) >= rows or len(both.unique()) < len(both):
            raise ArgumentError("split", f"two disjoint lists of row numbers below {rows}, the first not empty", "others")
        return Split(train, valid)
    folds = torch.as_tensor(split, dtype=torch.int64)
    if folds.shape != (rows,) or int(folds.max()) < 1:
        raise ArgumentError("split", f"a fold for each of the {rows} rows, at least two folds", f"shape {list(folds.shape)}")
    return Split(torch.arange(rows), NO_ROWS, folds)


def _folded(rows: Tensor, target: Tensor, folds: int, seed: int) -> Split:
    """Rows of each class dealt out in turn, one class going on where the last one ended."""
    own = target[rows]
    lone = count(own, int(target.max()) + 1)[own] == 1
    if int((~lone).sum()) < 2:
        return Split(rows, NO_ROWS)
    order = torch.randperm(len(rows), generator=generator(seed, "folds"))
    order = order[torch.argsort(own[order], stable=True)]
    dealt = torch.empty(len(rows), dtype=torch.int64)
    dealt[order] = torch.arange(len(rows)) % min(folds, len(rows))
    return Split(rows, NO_ROWS, dealt, lone)
