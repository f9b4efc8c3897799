"""Stratified splits: every class gives its part, the order of rows is kept, and nothing is ever in two splits."""

from __future__ import annotations

import torch
from torch import Tensor

from steelyard.core.counts import count
from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.subsample import subsample


def hold_out(target: Tensor, fraction: float, *, seed: int = 0, least: int = 2) -> tuple[Tensor, Tensor]:
    """Cut a stratified part off.

    A class with n rows gives floor(fraction * n + 1/2) of them; at least one where it has `least` rows or more, and never its
    last one.

    Args:
        target: classes `[N]`.
        fraction: in [0, 1).
        seed: which rows are taken.
        least: rows from which a class gives at least one; 2 or more.

    Returns:
        Kept and held-out row numbers, both ascending.

    Raises:
        ArgumentError: `fraction` or `least` is out of range.

    Example:
        >>> kept, held = hold_out(torch.tensor([0] * 8 + [1] * 2), 0.25)
        >>> len(kept), torch.bincount(torch.tensor([0] * 8 + [1] * 2)[held]).tolist()
        (7, [2, 1])
    """
    if not 0 <= fraction < 1:
        raise ArgumentError("fraction", "from 0 to below 1", fraction)
    if least < 2:
        raise ArgumentError("least", "2 or more, since a class keeps its last row", least)
    if fraction == 0:
        return torch.arange(len(target)), torch.empty(0, dtype=torch.int64)
    sizes = count(target, int(target.max()) + 1)
    wanted = torch.floor(sizes.double() * fraction + 0.5).to(torch.int64)
    wanted = torch.maximum(wanted, (sizes >= least).to(torch.int64))
    wanted = torch.minimum(wanted, (sizes - 1).clamp_min(0))
    held = subsample(target, wanted, seed) if int(wanted.sum()) else torch.empty(0, dtype=torch.int64)
    mask = torch.ones(len(target), dtype=torch.bool)
    mask[held] = False
    return mask.nonzero().flatten(), held


def thin(target: Tensor, most: int, *, seed: int = 0) -> Tensor:
    """Row numbers of a stratified sample of about `most` rows; every class that has rows keeps at least one."""
    if most < 1:
        raise ArgumentError("max_rows", "at least 1", most)
    if most >= len(target):
        return torch.arange(len(target))
    sizes = count(target, int(target.max()) + 1)
    wanted = torch.floor(sizes.double() * most / len(target) + 0.5).to(torch.int64)
    return subsample(target, torch.maximum(wanted, (sizes > 0).to(torch.int64)), seed)


def refuse_singletons(target: Tensor, class_names: tuple[str, ...]) -> None:
    """Refuse classes that cannot be in both training and test data."""
    sizes = count(target, len(class_names))
    alone = [name for name, size in zip(class_names, sizes.tolist(), strict=True) if size == 1]
    if alone:
        others = f" (and {len(alone) - 1} more such classes)" if len(alone) > 1 else ""
        raise DataError(
            f"class '{alone[0]}' has one row{others}, which cannot be in both training and test data: add rows, remove the "
            "class, or give a separate test file"
        )
