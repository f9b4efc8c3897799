"""Pictures of what debLoRA found: how pure clusters are, and over how many of them classes spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from steelyard.core.figure import Figure, Panel, bars
from steelyard.numeric.calibration import entropy


def pictures(class_names: Sequence[str], counts: Tensor, table: Tensor, told: Mapping[str, Any]) -> dict[str, Figure]:
    """A picture by class, with debLoRA and its controls side by side, and one of the clusters of a run.

    Args:
        class_names: of class 0, 1, ...
        counts: training rows of each class `[C]`.
        table: rows of each class in each cluster `[K, C]`.
        told: "entropy", "own_share" and "moved" of each class by its name, "purity" of all clusters, and "spread", the length
            that features deviate by.
    """
    return {"clusters of classes": _by_class(class_names, counts, told), "clusters": _by_cluster(table, told["purity"])}


def _by_class(class_names: Sequence[str], counts: Tensor, told: Mapping[str, Any]) -> Figure:
    order = counts.argsort(descending=True, stable=True).tolist()
    names = [class_names[c] for c in order]

    def of(key: str, unit: float = 1.0) -> dict[str, list[float | None]]:
        return {"": [None if (value := told[key][name]) is None else value / unit for name in names]}

    panels = [
        Panel("own rows", of("own_share"), percent=True),
        Panel("entropy, nats", of("entropy")),
        Panel("moved, in spreads", of("moved", max(told["spread"], 1e-12))),
    ]
    note = (
        "Of the clusters that the rows of a class lie in: the share of rows that are its own (at 100 % a calibration only "
        "shrinks the class), the entropy of the class over the clusters (0: it lies in one; log K: evenly in all K), and how "
        "far its features were drawn, as a ratio to the spread of all features. Classes from the largest to the smallest."
    )
    labels = [f"{class_names[c]} ({int(counts[c]):,})" for c in order]
    return bars("Clusters of each class", note, x="class (training rows)", categories=labels, panels=panels, by_method=True)


def _by_cluster(table: Tensor, purity: float) -> Figure:
    table = table[table.sum(1).argsort(descending=True, stable=True)].double()
    rows = table.sum(1)
    mixed = entropy(table / rows.unsqueeze(1))
    panels = [
        Panel("rows", {"": rows.tolist()}),
        Panel("purity", {"": (table.max(1).values / rows).tolist()}, level=purity, percent=True),
        Panel("entropy, nats", {"": mixed.tolist()}, level=float((mixed * rows).sum() / rows.sum())),
    ]
    note = (
        "Clusters of the training rows' features, made without labels, from the largest to the smallest: their rows, the share "
        "of their most frequent class (purity), and the entropy of their classes (0: one class). Dotted: the mean over rows."
    )
    names = [str(number) for number in range(1, len(table) + 1)]
    return bars("Clusters", note, x="cluster, largest first", categories=names, panels=panels)
