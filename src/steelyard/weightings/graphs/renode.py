"""ReNode: a labelled node near the boundary of its class, as the topology has it, weighs less."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Evidence
from steelyard.core.weighting import Weighting
from steelyard.numeric.graph import pagerank


class ReNode(Weighting):
    """Weights of the training rows by how little the influence of other classes reaches them.

    Ranked by `topological_conflict`, from the least to the most, the row of rank k of L weighs
    `base + scale / 2 (1 + cos(pi k / (L - 1)))`; a single row, and rows of equal conflict, weigh the mean of their places.

    Args:
        conflict: of each training row `[L]`.
        base: lowest weight, 0 or more.
        scale: highest less lowest weight, 0 or more.

    Shapes:
        `evidence.index` `[N]` to weights `[N]`.

    Raises:
        ArgumentError: a value out of its range; evidence without an index.

    Reference:
        Chen, Lin, Zhao, Ren, Li, Zhou, Sun: Topology-imbalance learning for semi-supervised node classification, NeurIPS 2021.

    Departures:
        No matrix of all pairs of nodes is inverted: the same numbers come from two iterations with C columns. One row is no
        division by zero. Rows that are alike weigh alike, whatever their order.

    Example:
        >>> ReNode(torch.tensor([3.0, 1.0, 2.0])).row_weights
        tensor([0.5000, 1.5000, 1.0000])
    """

    row_weights: Tensor

    def __init__(self, conflict: Tensor, *, base: float = 0.5, scale: float = 1.0) -> None:
        super().__init__()
        for name, value in (("base", base), ("scale", scale)):
            if not 0 <= value < math.inf:
                raise ArgumentError(name, "a finite number, 0 or more", value)
        rows = len(conflict)
        place = torch.arange(rows, dtype=torch.float64)
        values = base + 0.5 * scale * (1 + torch.cos(math.pi * place / max(rows - 1, 1)))
        values = values if rows > 1 else torch.full((rows,), base + 0.5 * scale, dtype=torch.float64)
        alike = torch.unique(conflict, return_inverse=True)[1]
        total = torch.zeros(rows, dtype=torch.float64).index_add_(0, torch.sort(alike).values, values)
        self.register_buffer("row_weights", (total / torch.bincount(alike, minlength=rows).clamp_min(1))[alike].float())

    def forward(self, evidence: Evidence) -> Tensor:
        """The weight of each row `[N]`."""
        if evidence.index is None:
            raise ArgumentError("evidence.index", "the position of each row among the training rows", None)
        return self.row_weights[evidence.index]


def topological_conflict(
    edge_index: Tensor, nodes: int, labelled: Tensor, target: Tensor, classes: int, *, restart: float = 0.15
) -> Tensor:
    """How much of other classes' influence meets a labelled node's own `[L]`: Totoro.

    `T_v = sum_u Pi_vu sum_(c != y_v) g_c(u)`, with `Pi = restart (I - (1 - restart) A_hat)^-1` and g_c the mean row of Pi over
    the labelled nodes of class c.

    Args:
        edge_index: `[2, E]`.
        nodes: n.
        labelled: node numbers `[L]`.
        target: their classes `[L]`.
        classes: C.
        restart: in (0, 1].

    Raises:
        ArgumentError: `restart`, a node or a class out of its range.

    Example:
        >>> edges = torch.tensor([[0, 1], [1, 0]])  # two neighbours of different classes, and a node on its own
        >>> topological_conflict(edges, 3, torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1]), 2)[2]
        tensor(0.)
    """
    if not 0 < restart <= 1:
        raise ArgumentError("restart", "in (0, 1]", restart)
    for name, values, most in (("edge_index", edge_index, nodes), ("labelled", labelled, nodes), ("target", target, classes)):
        if values.numel() and not (int(values.min()) >= 0 and int(values.max()) < most):
            raise ArgumentError(name, f"numbers from 0 to {most - 1}", f"{int(values.min())} to {int(values.max())}")
    sizes = torch.bincount(target, minlength=classes).clamp_min(1)
    start = torch.zeros(nodes, classes, dtype=torch.float64)
    start[labelled] = F.one_hot(target, classes).double() / sizes
    reach = pagerank(edge_index, start, restart=restart, transposed=True)
    met = pagerank(edge_index, reach, restart=restart)[labelled]
    own = met.gather(1, target[:, None])[:, 0]
    return (met.sum(1) - own).clamp_min(0).float()
