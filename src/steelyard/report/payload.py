"""The numbers that the page's scripts draw, as one JSON object."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from steelyard.report import aggregate, weights
from steelyard.report.board import EPOCHS, epochs_of, estimate, ranked, rows_of
from steelyard.report.palette import looks
from steelyard.report.store import Comparison, Json, mapping
from steelyard.report.verdict import epoch_of
from steelyard.report.vocabulary import METRICS, metric_of, number

PER_CLASS = ("recall", "precision", "f1")


def payload(comparison: Comparison) -> Json:
    """Everything the plots need, averaged over seeds; only lists, numbers, strings and None."""
    names, counts = comparison.class_names, comparison.counts
    members, labels, long_labels = aggregate.blocks_of(counts, names) if counts else ([], [], [])
    groups = {name: _indices(comparison.about["groups"].get(name), len(counts)) for name in ("many", "medium", "few")}
    methods = []
    shown = _shown(comparison)
    # The methods drawn at first come first, so that no two of them share a colour.
    order = [*shown, *(name for name in comparison.methods if name not in shown)]
    looked = looks(order, {str(m["name"]) for m in comparison.about["methods"] if m.get("control")})
    for about in comparison.about["methods"]:
        name = str(about["name"])
        runs = comparison.of(name)
        entry: Json = {"name": name, "summary": str(about.get("summary") or ""), "runs": len(runs), **asdict(looked[name])}
        entry["perClass"], entry["trend"] = {}, {}
        for kind in PER_CLASS:
            values = aggregate.per_class(runs, kind, len(counts)) if counts else None
            if values is not None:
                entry["perClass"][kind] = values
                entry["trend"][kind] = aggregate.trend(counts, values)
        entry["curves"] = aggregate.curves(runs)
        entry["confusion"] = aggregate.confusion(runs, members, len(counts)) if members else None
        entry["reliability"] = aggregate.reliability(runs)
        entry["weights"] = weights.group_weights(runs, groups, len(counts))
        entry["classWeights"] = weights.class_weights(runs, members, len(counts))
        entry["learned"] = weights.learned(runs)
        methods.append(entry)
    metrics = _metrics(comparison)
    return {
        "classes": names,
        "counts": counts,
        "test": _counts(comparison, "test"),
        "groups": groups,
        "methods": methods,
        "shown": shown,
        "epoch": epoch_of(comparison) if epoch_of(comparison) in epochs_of(comparison.leaderboard) else "last",
        "metric": str(comparison.leaderboard.get("metric") or "balanced_accuracy"),
        "metrics": {name: {"label": metric_of(name).label, "scale": 100 if metric_of(name).percent else 1} for name in metrics},
        "board": _board(comparison, metrics),
        "cost": {str(row["method"]): number(row.get("cost_ratio")) for row in rows_of(comparison.leaderboard)},
        "confusion": {"labels": labels, "long": long_labels, "blocks": len(labels) != len(names)},
    }


def minority(comparison: Comparison) -> tuple[str, float | None, float | None] | None:
    """For two classes: the rarer one, its share of the training rows, and of the test rows; None otherwise."""
    counts = comparison.counts
    if len(counts) != 2:
        return None
    rare = 0 if counts[0] < counts[1] else 1
    test = _counts(comparison, "test")
    of_test = test[rare] / (test[0] + test[1]) if len(test) == 2 and any(test) else None
    return comparison.class_names[rare], counts[rare] / max(1, counts[0] + counts[1]), of_test


def _counts(comparison: Comparison, split: str) -> list[int]:
    """Rows per class of a split; the finished confusion matrices say it where the description does not."""
    stored = mapping(comparison.about["data"].get("counts")).get(split)
    if isinstance(stored, list):
        return [int(number(n) or 0) for n in stored]
    if split == "test" and comparison.runs:
        table = comparison.runs[0].result.get("confusion")
        if isinstance(table, list) and all(isinstance(row, list) for row in table):
            return [int(sum(number(x) or 0 for x in row)) for row in table]
    return []


def _indices(values: Any, classes: int) -> list[int]:
    return [int(v) for v in values if isinstance(v, int) and 0 <= v < classes] if isinstance(values, list) else []


def _metrics(comparison: Comparison) -> list[str]:
    present = {name for row in rows_of(comparison.leaderboard) for key in EPOCHS.values() for name in mapping(row.get(key))}
    return [name for name in METRICS if name in present] + sorted(present - set(METRICS))


def _board(comparison: Comparison, metrics: list[str]) -> Json:
    """`board[epoch][metric][method] = [mean, low, high]`."""
    rows = rows_of(comparison.leaderboard)
    table: Json = {}
    for epoch in epochs_of(comparison.leaderboard):
        table[epoch] = {name: {} for name in metrics}
        for name in metrics:
            for row in rows:
                value = estimate(row, name, epoch)
                if value.mean is not None:
                    table[epoch][name][str(row["method"])] = [value.mean, value.low, value.high]
    return table


def _shown(comparison: Comparison, most: int = 10) -> list[str]:
    """Methods drawn at first: all of a few, otherwise the best, and plain cross-entropy in any case."""
    if len(comparison.methods) <= most:
        return comparison.methods
    metric = metric_of(str(comparison.leaderboard.get("metric") or "balanced_accuracy"))
    order = [str(row["method"]) for row in ranked(rows_of(comparison.leaderboard), metric, epoch_of(comparison))]
    best = [name for name in order if name in comparison.methods][: most - 2] or comparison.methods[: most - 2]
    return [name for name in comparison.methods if name in best or name == "ce"]
