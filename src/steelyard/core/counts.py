"""Class counts, and what follows from them: priors, imbalance, Many / Medium / Few groups.

`class_counts` is the one spelling everywhere: how many training rows each class has, as a tensor, array or list `[C]`.
A class that was never seen (count 0) is treated as if it had been seen once wherever a count is divided by or its
logarithm is taken, so that every loss and weight stays finite: see `effective`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError

CountsLike: TypeAlias = "Tensor | np.ndarray | Sequence[int]"


def as_counts(class_counts: CountsLike, argument: str = "class_counts") -> Tensor:
    """Check class counts and return them as a LongTensor `[C]` on the CPU.

    Raises:
        ArgumentError: not one-dimensional, empty, fractional, negative, not finite, or all zero.

    Example:
        >>> as_counts([90, 10])
        tensor([90, 10])
    """
    try:
        raw = class_counts.detach().cpu() if isinstance(class_counts, Tensor) else torch.as_tensor(np.asarray(class_counts))
    except (TypeError, ValueError):
        raise ArgumentError(argument, "a list of class sizes [C]", f"{class_counts!r:.60}") from None
    if raw.ndim != 1 or raw.numel() == 0:
        raise ArgumentError(argument, "a non-empty one-dimensional list of class sizes [C]", f"shape {tuple(raw.shape)}")
    exact = raw.to(torch.float64)
    if not bool(torch.isfinite(exact).all()) or bool((exact != exact.round()).any()) or bool((exact < 0).any()):
        raise ArgumentError(argument, "whole numbers of rows, zero or more", raw.tolist()[:8])
    if float(exact.sum()) == 0:
        raise ArgumentError(argument, "at least one row in at least one class", "only zeros")
    return raw.to(torch.int64)


def count(target: Tensor, num_classes: int) -> Tensor:
    """Rows per class of integer labels `[N]`, as a LongTensor `[C]`."""
    return torch.bincount(target.detach().cpu().to(torch.int64), minlength=num_classes)


def of_class(table: Tensor, target: Tensor) -> Tensor:
    """What a table `[C, ...]` made from class sizes says of each row's class `[N, ...]`.

    Raises:
        ArgumentError: a class that the table does not have (on the CPU only: elsewhere the device reports it itself).

    Example:
        >>> of_class(torch.tensor([5.0, 7.0]), torch.tensor([1, 1, 0]))
        tensor([7., 7., 5.])
    """
    try:
        return table[target]
    except IndexError:
        expected = f"classes from 0 to {len(table) - 1}, as there are {len(table)} class sizes"
        raise ArgumentError("target", expected, f"classes from {int(target.min())} to {int(target.max())}") from None


def effective(class_counts: CountsLike) -> Tensor:
    """Counts as float64 `[C]` with never-seen classes counted as one row, so that 1/n and log n exist."""
    return as_counts(class_counts).to(torch.float64).clamp_min(1.0)


def prior(class_counts: CountsLike) -> Tensor:
    """Class priors pi_c = n_c / N as float64 `[C]`, summing to 1 (never-seen classes counted as one row)."""
    n = effective(class_counts)
    return n / n.sum()


def imbalance_factor(class_counts: CountsLike) -> float:
    """Largest over smallest class size, over the classes that have rows."""
    n = as_counts(class_counts)
    seen = n[n > 0]
    return float(seen.max()) / float(seen.min())


GROUP_NAMES = ("many", "medium", "few")


@dataclass(frozen=True)
class Groups:
    """Classes sorted into Many / Medium / Few, and the rule that did it.

    Attributes:
        rule: the rule in words; printed with every table that shows groups.
        members: class indices of "many", "medium" and "few"; a group may be empty.
    """

    rule: str
    members: Mapping[str, tuple[int, ...]]

    def means(self, values: Tensor) -> dict[str, float]:
        """Mean of the values `[C]` of the classes of each group; NaN values are left out, as are groups without others.

        Example:
            >>> group_classes([500, 60, 5]).means(torch.tensor([0.5, torch.nan, 2.0]))
            {'many': 0.5, 'few': 2.0}
        """
        found = {name: float(values[list(members)].double().nanmean()) for name, members in self.members.items()}
        return {name: mean for name, mean in found.items() if mean == mean}


def group_classes(class_counts: CountsLike, groups: str = "auto") -> Groups:
    """Sort classes into Many / Medium / Few.

    Args:
        class_counts: training rows per class `[C]`.
        groups: `"thresholds"` (> 100 rows, 20 to 100, < 20: Liu et al., CVPR 2019, as in Kang et al., ICLR 2020);
            `"terciles"` (thirds of the classes, largest first); `"index:a,b"` (classes [0,a), [a,b), [b,C), as in RDR);
            `"auto"`: thresholds where they leave no group empty, else terciles.

    Raises:
        ArgumentError: `groups` is none of these, or its indices are out of order.

    Example:
        >>> group_classes([500, 60, 5]).members["few"]
        (2,)
    """
    n = as_counts(class_counts)
    if groups == "auto":
        by_size = group_classes(n, "thresholds")
        return by_size if all(by_size.members.values()) else group_classes(n, "terciles")
    if groups == "thresholds":
        chosen = [torch.where(n > 100, 0, torch.where(n >= 20, 1, 2)) == g for g in range(3)]
        words = "training rows > 100 / 20 to 100 / < 20"
        return _groups(words, [mask.nonzero().flatten().tolist() for mask in chosen])
    if groups == "terciles":
        order = torch.sort(n, descending=True, stable=True).indices.tolist()
        first, second = _third_cuts(len(order))
        parts = [sorted(order[:first]), sorted(order[first:second]), sorted(order[second:])]
        return _groups("thirds of the classes by training rows, largest first", parts)
    if groups.startswith("index:"):
        first, second = _index_cuts(groups, len(n))
        parts = [list(range(first)), list(range(first, second)), list(range(second, len(n)))]
        return _groups(f"fixed class indices [0,{first}) [{first},{second}) [{second},{len(n)})", parts)
    raise ArgumentError("groups", "'auto', 'thresholds', 'terciles' or 'index:a,b'", repr(groups))


def _groups(rule: str, parts: Sequence[Sequence[int]]) -> Groups:
    return Groups(rule, {name: tuple(part) for name, part in zip(GROUP_NAMES, parts, strict=True)})


def _third_cuts(classes: int) -> tuple[int, int]:
    """Cut points of thirds; with two classes the larger is Many and the smaller is Few."""
    return (1, classes - 1) if classes == 2 else (round(classes / 3), round(2 * classes / 3))


def _index_cuts(groups: str, classes: int) -> tuple[int, int]:
    try:
        first, second = (int(part) for part in groups.removeprefix("index:").split(","))
    except ValueError:
        raise ArgumentError("groups", "'index:a,b' with two whole numbers", repr(groups)) from None
    if not 0 <= first <= second <= classes:
        raise ArgumentError("groups", f"'index:a,b' with 0 <= a <= b <= {classes}", repr(groups))
    return first, second
