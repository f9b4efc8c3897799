"""A picture of a comparison on a graph: where in the graph methods are right."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from steelyard.core.figure import Figure, Panel, bars
from steelyard.numeric.graph import in_degree

EDGES = (0.2, 0.4, 0.6, 0.8)
"""Between the bins of the share of neighbours of the same class."""
NAMES = ("0 to 20 %", "20 to 40 %", "40 to 60 %", "60 to 80 %", "80 to 100 %", "no neighbour")


def alike_shares(edge_index: Tensor, y: Tensor) -> Tensor:
    """Of the neighbours of each node whose class is known, the share that is of its own class `[n]`; NaN where there are none.

    Args:
        edge_index: `[2, E]`; the neighbours of a node are those that it has edges from.
        y: class of each node `[n]`, below 0 for unknown.

    Example:
        >>> alike_shares(torch.tensor([[0, 2, 3, 1], [1, 1, 1, 0]]), torch.tensor([0, 0, 1, -1]))
        tensor([1.0000, 0.5000,    nan,    nan], dtype=torch.float64)
    """
    known = edge_index[:, y[edge_index[0]] >= 0]
    alike = known[:, y[known[0]] == y[known[1]]]
    return in_degree(alike, len(y)).double() / in_degree(known, len(y)).double()  # 0 / 0 is NaN


def neighbourhood_figure(share: Tensor, proba: np.ndarray, target: np.ndarray, counts: Tensor) -> Figure:
    """Recall of the test nodes by the share of their neighbours that are of their class, methods side by side.

    Args:
        share: of each test node `[N]`, NaN where a node has no neighbours.
        proba: of the test nodes `[N, C]`.
        target: their classes `[N]`.
        counts: training nodes of each class `[C]`.
    """
    place = torch.bucketize(share.nan_to_num(2.0), torch.tensor(EDGES, dtype=share.dtype), right=True)
    bin_of = torch.where(share.isnan(), len(EDGES) + 1, place).numpy()
    right, classes = proba.argmax(1) == target, len(counts)
    sizes = np.bincount(bin_of, minlength=len(NAMES))
    shown = [number for number in range(len(NAMES)) if sizes[number] or number < len(EDGES) + 1]
    rare = set(counts.argsort(stable=True)[: classes // 2].tolist())

    def recalls(chosen: set[int]) -> list[float | None]:
        """The mean over the chosen classes that have nodes in a bin, by bin."""
        found = list[float | None]()
        for number in shown:
            own = [right[(bin_of == number) & (target == c)] for c in chosen]
            means = [float(rows.mean()) for rows in own if len(rows)]
            found.append(float(np.mean(means)) if means else None)
        return found

    note = (
        "Mean recall over the classes, for test nodes of whose neighbours with a known class so many are of the node's own "
        "class (test labels are used for this picture alone); below, over the rarer half of the classes. In brackets: test "
        "nodes."
    )
    return bars(
        "Recall by neighbourhood",
        note,
        x="neighbours of the same class (test nodes)",
        categories=[f"{NAMES[number]} ({sizes[number]:,})" for number in shown],
        panels=[
            Panel("recall, all classes", {"": recalls(set(range(classes)))}, percent=True),
            Panel("recall, rarer half", {"": recalls(rare)}, percent=True),
        ],
        by_method=True,
    )
