"""Numbers for the plots: averages over seeds of what the runs stored."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.report.store import Json, Run, mapping
from steelyard.report.vocabulary import number

Array = NDArray[np.float64]

# Above this many classes a confusion matrix is summed into blocks of classes of similar size: cells of a pixel tell nothing.
MOST_CLASSES, BLOCKS = 100, 50
CURVES = ("train_loss", "valid_balanced_accuracy", "valid_loss")


def per_class(runs: Sequence[Run], name: str, classes: int) -> list[float | None] | None:
    """Mean over seeds of a per-class metric `[C]`, or None where no run has it."""
    rows = [_floats(mapping(run.result.get("per_class")).get(name), classes) for run in runs]
    kept = [row for row in rows if row is not None]
    return tidy(nanmean(np.stack(kept))) if kept else None


def trend(counts: Sequence[int], values: Sequence[float | None], most: int = 24) -> tuple[list[float], list[float | None]]:
    """The line through per-class values against class size: means over classes of (nearly) equal size.

    Args:
        counts: training rows per class `[C]`.
        values: of each class `[C]`; None where there is none.
        most: largest number of points of the line.

    Example:
        >>> trend([100, 10, 10], [0.9, 0.2, 0.4])
        ([10.0, 100.0], [0.3, 0.9])
    """
    sizes = np.maximum(np.asarray(counts, dtype=np.float64), 0.5)
    distinct = np.unique(sizes)
    edges = distinct if len(distinct) <= most else np.unique(np.quantile(sizes, np.linspace(0, 1, most + 1)[:-1]))
    block = np.searchsorted(edges, sizes, side="right") - 1
    data = _array(values)
    centres, means = [], []
    for index in range(len(edges)):
        member = block == index
        if member.any():
            centres.append(float(np.exp(np.log(sizes[member]).mean())))
            means.append(nanmean(data[member][:, None])[0])
    return [float(f"{x:.6g}") for x in centres], tidy(np.asarray(means))


def curves(runs: Sequence[Run]) -> Json:
    """Mean, lowest and highest over seeds of what the epoch logs hold, by epoch counted over all stages."""
    longest = max((len(run.log) for run in runs), default=0)
    if longest == 0:
        return {}
    stages = [str(line.get("stage", "")) for line in max((run.log for run in runs), key=len)]
    starts = [[epoch + 1, stage] for epoch, stage in enumerate(stages) if epoch == 0 or stages[epoch - 1] != stage]
    result: Json = {"epochs": longest, "stages": starts}
    for name in CURVES:
        table = np.full((len(runs), longest), np.nan)
        for row, run in enumerate(runs):
            table[row, : len(run.log)] = _array([line.get(name) for line in run.log])
        if np.isfinite(table).any():
            result[name] = over_seeds(table)
    return result


def over_seeds(table: Array) -> Json:
    """Mean, and of several seeds lowest and highest, of what is there of a table `[seeds, epochs]`."""
    found = {"mean": tidy(nanmean(table))}
    if len(table) > 1:
        found |= {"low": tidy(_quiet(np.nanmin, table)), "high": tidy(_quiet(np.nanmax, table))}
    return found


def blocks_of(counts: Sequence[int], names: Sequence[str]) -> tuple[list[list[int]], list[str], list[str]]:
    """Rows of the confusion matrices: single classes, largest first, or blocks of classes where there are many.

    Returns:
        The class indices of each row; their short labels; their long labels, with sizes.
    """
    order = np.argsort(-np.asarray(counts), kind="stable")
    if len(order) <= MOST_CLASSES:
        members = [[int(c)] for c in order]
        return members, [names[c] for c in order], [f"{names[c]} ({counts[c]:,} training rows)" for c in order]
    members = [[int(c) for c in part] for part in np.array_split(order, BLOCKS)]
    short = [f"{max(counts[c] for c in part):,}" for part in members]
    ranges = [(min(counts[c] for c in part), max(counts[c] for c in part)) for part in members]
    return members, short, [f"{len(p)} classes of {lo:,} to {hi:,} rows" for p, (lo, hi) in zip(members, ranges, strict=True)]


def confusion(runs: Sequence[Run], members: list[list[int]], classes: int) -> list[list[int | None]] | None:
    """Row-normalised confusion, summed over seeds, in thousandths; None where no run has one.

    Rows and columns are the blocks of classes in `members`; a row without test rows is None throughout.
    """
    total = np.zeros((classes, classes))
    found = False
    for run in runs:
        table = run.result.get("confusion")
        if isinstance(table, list) and len(table) == classes and all(isinstance(r, list) and len(r) == classes for r in table):
            total += np.asarray(table, dtype=np.float64)
            found = True
    if not found:
        return None
    pick = np.zeros((len(members), classes))
    for row, part in enumerate(members):
        pick[row, part] = 1.0
    shown = pick @ total @ pick.T
    size = shown.sum(axis=1, keepdims=True)
    share = np.divide(shown, size, out=np.full_like(shown, np.nan), where=size > 0)
    return [[None if np.isnan(x) else round(1000 * float(x)) for x in row] for row in share]


def reliability(runs: Sequence[Run]) -> Json | None:
    """Confidence and accuracy by bin, pooled over seeds; bins without rows are left out."""
    count: Array | None = None
    for run in runs:
        bins = mapping(run.result.get("reliability"))
        n, confidence, accuracy = (_floats(bins.get(key)) for key in ("count", "confidence", "accuracy"))
        if n is None or confidence is None or accuracy is None or not len(n) == len(confidence) == len(accuracy):
            continue
        if count is None:
            count, by_confidence, by_accuracy = np.zeros(len(n)), np.zeros(len(n)), np.zeros(len(n))
        if len(n) == len(count):
            count = count + np.nan_to_num(n)
            by_confidence += np.nan_to_num(n * confidence)
            by_accuracy += np.nan_to_num(n * accuracy)
    if count is None or count.sum() == 0:
        return None
    kept = count > 0
    n = count[kept]
    shares = {"confidence": by_confidence[kept] / n, "accuracy": by_accuracy[kept] / n, "share": n / n.sum()}
    return {name: tidy(values) for name, values in shares.items()}


def tidy(values: Array) -> list[float | None]:
    """Four significant digits, None for NaN: short in the file, and legal JSON."""
    return [float(f"{x:.4g}") if np.isfinite(x) else None for x in values.tolist()]


def _array(values: Sequence[Any]) -> Array:
    return np.asarray([np.nan if (x := number(value)) is None else x for value in values], dtype=np.float64)


def _floats(values: Any, length: int | None = None) -> Array | None:
    if not isinstance(values, list) or (length is not None and len(values) != length):
        return None
    return _array(values)


def nanmean(table: Array) -> Array:
    """Mean over the first axis of what is there; NaN, without a warning, where nothing is."""
    result: Array = _quiet(np.nanmean, table)
    return result


def _quiet(function: Any, table: Array) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result: Array = function(table, axis=0)
    return result
