"""Weight dynamics for the plots: what the rows of each class weighed over training, and functions from loss to weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from steelyard.report.aggregate import Array, nanmean, over_seeds, tidy
from steelyard.report.store import Json, Run, mapping
from steelyard.report.vocabulary import number

# Columns of the picture of weights by class, and points of a learned function: more would only make the page large.
MOST_EPOCHS, POINTS = 120, 60


def group_weights(runs: Sequence[Run], groups: Mapping[str, Sequence[int]], classes: int) -> Json:
    """Mean weight of the classes of each group by epoch: mean, lowest and highest over seeds.

    Args:
        runs: of one method; their logs have "class_weights" `[C]`, or "group_weights" where there are too many classes.
        groups: class indices by the name of the group.
        classes: C.

    Returns:
        `{"many": {"mean": [..], "low": [..], "high": [..]}, ...}` for the groups that have weights; empty where no row was
        weighted.
    """
    found: Json = {}
    for name, members in groups.items():
        table = _table(runs, partial(_of_group, name=name, members=members, classes=classes))
        if np.isfinite(table).any():
            found[name] = over_seeds(table)
    return found


def class_weights(runs: Sequence[Run], members: Sequence[Sequence[int]], classes: int) -> Json | None:
    """Mean weight of the rows of each class, or block of classes, by epoch, averaged over seeds.

    Args:
        runs: of one method.
        members: classes of each row of the picture.
        classes: C.

    Returns:
        `{"epochs": [..], "rows": [[weight or None by epoch] by row]}`; None where no run has weights by class.
    """
    longest = max((len(run.log) for run in runs), default=0)
    stacked = np.full((len(runs), longest, classes), np.nan)
    for index, run in enumerate(runs):
        for epoch, line in enumerate(run.log):
            values = line.get("class_weights")
            if isinstance(values, list) and len(values) == classes:
                stacked[index, epoch] = [_nan(value) for value in values]
    if not np.isfinite(stacked).any():
        return None
    mean = nanmean(stacked)
    kept = np.unique(np.linspace(0, longest - 1, min(longest, MOST_EPOCHS)).round().astype(int))
    rows = [tidy(nanmean(mean[kept][:, list(part)].T)) for part in members]
    return {"epochs": [int(epoch) + 1 for epoch in kept], "rows": rows}


def learned(runs: Sequence[Run]) -> list[Json]:
    """The functions from loss to weight that a method's runs have learnt.

    Args:
        runs: of one method, with `{part: {"loss": [..], "weight": {label: [..]}}}` as "explanations" of their results.

    Returns:
        One entry a line, `{"label", "seeds": [{"seed", "loss", "weight"}, ...], "loss", "weight"}`. The mean over seeds is
        taken over the losses that all seeds have met. The label is empty where a method has but one line.
    """
    lines: dict[tuple[str, str], list[tuple[int, Array, Array]]] = {}
    for run in runs:
        for part, value in mapping(run.result.get("explanations")).items():
            grid = _finite(mapping(value).get("loss"))
            for label, weights in mapping(mapping(value).get("weight")).items():
                curve = _finite(weights)
                if grid is not None and curve is not None and len(grid) == len(curve):
                    lines.setdefault((part, str(label)), []).append((run.seed, grid, curve))
    parts = {part for part, _ in lines}
    found = []
    for (part, label), drawn in lines.items():
        shared = np.linspace(max(grid[0] for _, grid, _ in drawn), min(grid[-1] for _, grid, _ in drawn), POINTS)
        mean = np.mean([np.interp(shared, grid, curve) for _, grid, curve in drawn], axis=0)
        named = f"{part}: {label}" if len(parts) > 1 else label if len(lines) > 1 else ""
        seeds = [{"seed": seed, "loss": tidy(grid), "weight": tidy(curve)} for seed, grid, curve in drawn]
        found.append({"label": named, "seeds": seeds, "loss": tidy(shared), "weight": tidy(mean)})
    return found


def _table(runs: Sequence[Run], value: Callable[[Json], float]) -> Array:
    """A number of each epoch of each run `[runs, epochs]`, NaN where there is none."""
    table = np.full((len(runs), max((len(run.log) for run in runs), default=0)), np.nan)
    for row, run in enumerate(runs):
        table[row, : len(run.log)] = [value(line) for line in run.log]
    return table


def _of_group(line: Json, *, name: str, members: Sequence[int], classes: int) -> float:
    """The mean over a group's classes of an epoch's weights; what the log says of the group where it has no classes."""
    weights = line.get("class_weights")
    if isinstance(weights, list) and len(weights) == classes:
        values = [x for x in (number(weights[c]) for c in members) if x is not None]
        return float(np.mean(values)) if values else np.nan
    return _nan(mapping(line.get("group_weights")).get(name))


def _nan(value: Any) -> float:
    return np.nan if (x := number(value)) is None else x


def _finite(values: Any) -> Array | None:
    """A list of at least two finite numbers as an array; None otherwise."""
    numbers = [number(value) for value in values] if isinstance(values, list) else []
    return None if len(numbers) < 2 or None in numbers else np.asarray(numbers, dtype=np.float64)
