"""Splits by chance, by time and by group: the order of rows is kept, and nothing is ever in two splits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from steelyard.core.counts import count
from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.seeds import derive
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


class Split(NamedTuple):
    """Row numbers of the splits, LongTensors, ascending; empty where a split has the fraction 0."""

    train: Tensor
    valid: Tensor
    test: Tensor


Fractions = tuple[float, float, float]


def by_time(
    values: Any,
    fractions: Fractions,
    *,
    target: Tensor | None = None,
    class_names: Sequence[str] | None = None,
    what: str = "time",
) -> Split:
    """Train on the past, validate on what came next, test on the end.

    Rows of one time are never parted, so the fractions are met as nearly as the times allow; each split with a fraction above 0
    has at least one time.

    Args:
        values: when each row was `[N]`: numbers, or dates (a pandas Series, or an array of datetime64).
        fractions: of train, valid and test rows, adding up to 1; train above 0.
        target: classes `[N]`; with it, each class must have training rows.
        class_names: of the classes, for messages.
        what: what the times are called in messages.

    Raises:
        ArgumentError: the fractions are out of range.
        DataError: missing times, fewer times than splits, or a class that comes too late to be learnt.

    Example:
        >>> by_time([3, 1, 2, 2, 4], (0.6, 0.2, 0.2))
        Split(train=tensor([1, 2, 3]), valid=tensor([0]), test=tensor([4]))
    """
    wanted = _checked(fractions)
    times = np.asarray(times_of(values, what).to_numpy())
    _, place, size = np.unique(times, return_inverse=True, return_counts=True)
    needed = sum(fraction > 0 for fraction in wanted)
    if len(size) < needed:
        number = "one time" if len(size) == 1 else f"{len(size)} times"
        raise DataError(f"{what} has only {number} in {len(times)} rows, which cannot be cut into {needed} splits")
    upto = np.cumsum(size)
    ends, least, parts = [0], 0, [i for i, fraction in enumerate(wanted) if fraction > 0]
    for i, part in enumerate(parts[:-1]):
        aim = sum(wanted[: part + 1]) * len(times)
        last = len(size) - (len(parts) - 1 - i)  # as many times must be left as there are splits to come
        least = least + 1 + int(np.abs(upto[least:last] - aim).argmin())
        ends.append(least)
    ends.append(len(size))
    rows = [torch.empty(0, dtype=torch.int64)] * 3
    for part, low, high in zip(parts, ends, ends[1:], strict=False):
        rows[part] = torch.from_numpy(np.flatnonzero((place >= low) & (place < high)))
    split = Split(*rows)
    if target is not None:
        _refuse_unlearnt(split, target, class_names, f"all its rows come later than the training rows by {what}")
    return split


def by_group(
    groups: Any,
    target: Tensor,
    fractions: Fractions,
    *,
    seed: int = 0,
    class_names: Sequence[str] | None = None,
    what: str = "group",
) -> Split:
    """Splits without a group in common, as well stratified as the groups allow.

    Groups with equally many rows of every class are dealt out in proportion. What is left, large groups first, goes where it
    brings the classes closest to the fractions: to the split in which the sum over classes of the squared relative distance
    falls most. This is a greedy choice, not the best of all. Each split with a fraction above 0 has at least one group, and
    each class has training rows.

    Args:
        groups: of each row `[N]`: numbers or text.
        target: classes `[N]`.
        fractions: of train, valid and test rows, adding up to 1; train above 0.
        seed: which of equal groups go where.
        class_names: of the classes, for messages.
        what: what the groups are called in messages.

    Raises:
        ArgumentError: the fractions are out of range.
        DataError: missing groups, or fewer groups than splits and classes need.

    Example:
        >>> split = by_group(list("aabbccdd"), torch.tensor([0, 1] * 4), (0.5, 0.25, 0.25))
        >>> [len(rows) for rows in split]
        [4, 2, 2]
    """
    import pandas as pd

    wanted = np.array(_checked(fractions))
    codes, names = pd.factorize(pd.Series(np.asarray(groups, dtype=object) if isinstance(groups, list | tuple) else groups))
    if (codes < 0).any():
        raise DataError(f"{what} has {int((codes < 0).sum())} missing values, so rows cannot be kept together: fill them in")
    needed = int((wanted > 0).sum())
    if len(names) < needed:
        number = "one group" if len(names) == 1 else f"{len(names)} groups"
        raise DataError(f"{what} has only {number}, which cannot be cut into {needed} splits: split otherwise")
    labels = target.numpy()
    table = np.zeros((len(names), int(labels.max()) + 1))
    np.add.at(table, (codes, labels), 1.0)
    place = _deal(table, wanted, np.random.default_rng(derive(seed, "groups")))
    split = Split(*(torch.from_numpy(np.flatnonzero(place[codes] == part)) for part in range(3)))
    if any(share > 0 and not len(rows) for share, rows in zip(wanted, split, strict=True)):
        raise DataError(f"{what} has too few groups with rows of each class to be cut into {needed} splits: split otherwise")
    _refuse_unlearnt(split, target, class_names, f"too few values of {what} have rows of it")
    return split


def _deal(table: np.ndarray, wanted: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Split 0, 1 or 2 of each group, from its rows of each class `[G, C]`."""
    place = np.full(len(table), -1)
    shuffled = draws.permutation(len(table))
    _, kind = np.unique(table[shuffled], axis=0, return_inverse=True)
    order = shuffled[np.argsort(kind.reshape(-1), kind="stable")]
    bounds = np.flatnonzero(np.any(np.diff(table[order], axis=0) != 0, axis=1)) + 1
    left = []
    for alike in np.split(order, bounds):
        cuts = np.concatenate([[0], np.cumsum(np.floor(wanted * len(alike) + 1e-9).astype(int))])
        for part in range(3):
            place[alike[cuts[part] : cuts[part + 1]]] = part
        left.append(alike[cuts[3] :])
    rest = np.concatenate(left)
    size = table.sum(axis=0)
    held = np.stack([table[place == part].sum(axis=0) for part in range(3)])
    aim, scale = wanted[:, None] * size, 1.0 / np.maximum(size, 1.0)
    open_parts = np.flatnonzero(wanted > 0)
    for group in rest[np.argsort(-(table[rest] * scale).max(axis=1), kind="stable")]:
        before, after = (held - aim) * scale, (held + table[group] - aim) * scale
        worse = ((after**2 - before**2).sum(axis=1)) / np.maximum(wanted, 1e-12)
        part = open_parts[worse[open_parts].argmin()]
        place[group] = part
        held[part] += table[group]
    _repair(place, table, open_parts)
    return place


def _repair(place: np.ndarray, table: np.ndarray, parts: np.ndarray) -> None:
    """Give training the smallest group of a class that it lacks, and every split a group."""
    for label in np.flatnonzero(table.sum(axis=0)):
        having = np.flatnonzero(table[:, label])
        if not (place[having] == 0).any():
            place[having[table[having].sum(axis=1).argmin()]] = 0
    for part in parts:
        if not (place == part).any():
            spare = [
                group for group in np.flatnonzero(np.bincount(place, minlength=3)[place] > 1) if _can_go(group, place, table)
            ]
            if spare:
                place[min(spare, key=lambda group: table[group].sum())] = part


def _can_go(group: Any, place: np.ndarray, table: np.ndarray) -> bool:
    """Do training rows have every class without this group?"""
    if place[group] != 0:
        return True
    rest = place == 0
    rest[group] = False
    return bool(((table[group] == 0) | (table[rest].sum(axis=0) > 0)).all())


def _checked(fractions: Fractions) -> Fractions:
    given: Sequence[float] = fractions
    usable = len(given) == 3 and all(0 <= value <= 1 for value in given)
    if not usable or fractions[0] <= 0 or not math.isclose(sum(fractions), 1.0, abs_tol=1e-9):
        raise ArgumentError(
            "fractions", "three shares of train, valid and test rows that add up to 1, train above 0", fractions
        )
    return fractions


def times_of(values: Any, what: str) -> Any:
    """When each row was, as a pandas Series of numbers or dates; text is read as dates, or else as numbers.

    Raises:
        DataError: missing values, or text that is neither.
    """
    import pandas as pd

    from steelyard.data.dates import DateFormats, parse_dates
    from steelyard.data.kinds import as_written
    from steelyard.data.times import as_seconds, is_times

    column = values.reset_index(drop=True) if isinstance(values, pd.Series) else pd.Series(np.asarray(values))
    missing = int(column.isna().sum())
    if missing:
        raise DataError(f"{what} has {missing} missing values, so rows cannot be put in order: fill them in or remove the rows")
    if is_times(column):
        return pd.Series(as_seconds(column, what))
    if column.dtype.kind not in "biufmM" and not isinstance(column.dtype, pd.DatetimeTZDtype):
        text = as_written(column)
        formats = DateFormats()
        formats.add(text.drop_duplicates().reset_index(drop=True))
        if not formats.left:
            numbers = pd.to_numeric(text, errors="coerce")
            if numbers.isna().any():
                wrong = text[numbers.isna()].iloc[0]
                raise DataError(f"{what} should hold dates or numbers to put rows in order; found {wrong!r}")
            return numbers.astype(np.float64)
        column = parse_dates(text, formats.left[0])
    return column.dt.tz_convert(None) if isinstance(column.dtype, pd.DatetimeTZDtype) else column


def _refuse_unlearnt(split: Split, target: Tensor, class_names: Sequence[str] | None, why: str) -> None:
    classes = int(target.max()) + 1
    lacking = ((count(target, classes) > 0) & (count(target[split.train], classes) == 0)).nonzero().flatten().tolist()
    if lacking:
        name = class_names[lacking[0]] if class_names is not None else str(lacking[0])
        others = f" (and {len(lacking) - 1} more classes)" if len(lacking) > 1 else ""
        raise DataError(f"class '{name}'{others} would have no training rows: {why}; choose other fractions or another split")
