"""TAM: margins for nodes whose neighbours are not those that are usual for their class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.numeric.graph import in_degree
from steelyard.transforms.graphs.frame import OnGraph, check_graph, labels_of, logits_of_all

FLOOR = 1e-6


class TopologyMargins(OnGraph):
    """Give a batch the margins that its neighbourhoods call for, as `extra["shift"]` `[N, C]`, for `losses.graphs.Shifted`.

    Nothing is differentiated through them, and before `warmup` epochs there are none.

    Args:
        x: features of all nodes `[n, d]`.
        edge_index: `[2, E]`.
        class_counts: training nodes of each class `[C]`.
        alpha: strength of the connectivity margin, 0 or more.
        beta: strength of the distribution margin, 0 or more.
        phi: sharpness of what is predicted for unlabelled neighbours, above 0.
        warmup: epochs without margins, 0 or more.

    Raises:
        ArgumentError: a value out of its range.

    Reference:
        Song, Park, Yang: TAM: topology-aware margin loss for class-imbalanced node classification, ICML 2022.

    Departures:
        The scores of the neighbours are those of a pass of its own, with its own dropout. Between classes whose usual
        neighbourhoods are the same (a divergence below 1e-6) there is no ADM, where the released code has 1/2.
    """

    def __init__(
        self,
        x: Tensor,
        edge_index: Tensor,
        class_counts: Tensor,
        *,
        alpha: float = 1.5,
        beta: float = 0.5,
        phi: float = 1.2,
        warmup: int = 5,
    ) -> None:
        super().__init__(x, edge_index)
        checks = (
            ("alpha", alpha >= 0, "0 or more", alpha),
            ("beta", beta >= 0, "0 or more", beta),
            ("phi", phi > 0, "above 0", phi),
            ("warmup", warmup >= 0, "0 or more", warmup),
        )
        for name, holds, expected, found in checks:
            if not holds:
                raise ArgumentError(name, expected, found)
        self.class_counts, self.alpha, self.beta, self.phi, self.warmup = class_counts, alpha, beta, phi, warmup

    def __call__(self, oracle: Oracle, batch: Batch) -> Batch:
        """The batch with its margins."""
        if oracle.clock.epoch < self.warmup or (self.alpha == 0 and self.beta == 0):
            return batch
        x, edge_index = self.behind(oracle, batch)
        y, mask = labels_of(batch, len(x))
        logits = logits_of_all(oracle, batch, len(x))
        shift = torch.zeros_like(logits)
        shift[mask] = topology_margins(
            logits, edge_index, y, mask, class_counts=self.class_counts, alpha=self.alpha, beta=self.beta, phi=self.phi
        )
        return batch.replace(extra={**batch.extra, "shift": shift[batch.inputs]})


@torch.no_grad()
def topology_margins(
    logits: Tensor,
    edge_index: Tensor,
    y: Tensor,
    mask: Tensor,
    *,
    class_counts: Tensor,
    alpha: float = 1.5,
    beta: float = 0.5,
    phi: float = 1.2,
) -> Tensor:
    """What TAM adds to the logits of the labelled nodes: `alpha log ACM - beta ADM`, `[L, C]`, in the order of the nodes.

    With d_v the mean, over node v and its neighbours, of their classes (known, or predicted), and M_c the mean of d_v over the
    labelled nodes of class c, for a node of class y: `ACM_j = min(1, d_v(y) / M_yy * M_yj / d_v(j))`, 1 at j = y, and
    `ADM_j = (J(d_v, M_y)^2 + J(M_y, M_j)^2 - J(d_v, M_j)^2) / (2 J(M_y, M_j)^2)`, 0 at j = y, with the Jensen-Shannon
    divergence J. A node with the usual neighbours of its class gets no margin.

    Args:
        logits: of every node `[n, C]`.
        edge_index: `[2, E]`.
        y: classes `[n]`; looked at in the mask only.
        mask: the labelled nodes `[n]`.
        class_counts: `[C]`, which sharpen predictions of frequent classes less.
        alpha: of the connectivity margin.
        beta: of the distribution margin.
        phi: sharpness.

    Raises:
        ArgumentError: no such graph.

    Example:
        >>> y, mask, edges = torch.tensor([0, 1]), torch.tensor([True, True]), torch.tensor([[0, 1], [1, 0]])
        >>> topology_margins(torch.zeros(2, 2), edges, y, mask, class_counts=torch.tensor([1, 1])).abs().max()
        tensor(0.)
    """
    check_graph(logits, edge_index, y, mask)
    classes = logits.shape[1]
    if class_counts.shape != (classes,):
        raise ArgumentError(
            "class_counts", f"one number for each of the {classes} classes of the logits", list(class_counts.shape)
        )
    if int(y[mask].max()) >= classes:
        raise ArgumentError("y", f"classes from 0 to {classes - 1}, as the logits have", int(y[mask].max()))
    seen = _neighbourhoods(logits, edge_index, y, mask, class_counts, phi)[mask]
    label = y[mask]
    own = F.one_hot(label, logits.shape[1])
    counts = own.sum(0)
    usual = (own.T.to(seen) @ seen) / counts.clamp_min(1)[:, None]
    seen, usual = seen.clamp_min(FLOOR), usual.clamp_min(FLOOR)
    mine = usual[label]  # M_y of each node
    fit = seen.gather(1, label[:, None]) / mine.gather(1, label[:, None])
    connectivity = (fit * mine / seen).clamp_max(1).masked_fill(own.bool(), 1)
    between = _divergence(usual[:, None], usual[None])[label]
    told_apart = between > FLOOR
    between = between.clamp_min(FLOOR)
    away = _divergence(seen, mine)[:, None]
    others = _divergence(seen[:, None], usual[None])
    distribution = (away**2 + between**2 - others**2) / (2 * between**2)
    distribution = distribution.masked_fill(own.bool() | (counts == 0)[None] | ~told_apart, 0)
    connectivity = connectivity.masked_fill((counts == 0)[None], 1)
    return alpha * connectivity.log() - beta * distribution


def _neighbourhoods(logits: Tensor, edge_index: Tensor, y: Tensor, mask: Tensor, class_counts: Tensor, phi: float) -> Tensor:
    """Mean over a node and its neighbours of their classes `[n, C]`."""
    shares = class_counts.to(logits) / class_counts.sum()
    sharpness = 0.4 * shares + 0.6
    known = torch.softmax(logits * (phi * (sharpness + 1 - sharpness.max())), 1)
    known[mask] = F.one_hot(y[mask], logits.shape[1]).to(known)
    total = known.clone().index_add_(0, edge_index[1], known[edge_index[0]])
    return total / (in_degree(edge_index, len(logits)) + 1)[:, None]


def _divergence(one: Tensor, other: Tensor) -> Tensor:
    """Jensen-Shannon divergence over the last dimension."""
    middle = ((one + other) / 2).log()
    return ((one * (one.log() - middle) + other * (other.log() - middle)) / 2).sum(-1)
