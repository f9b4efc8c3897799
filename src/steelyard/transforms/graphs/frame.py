"""What all transforms of a graph share: the graph of a batch, and a batch of a graph with more nodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.numeric.sparse import Sparse, compact


@dataclass(frozen=True)
class Added:
    """Nodes that are new in a graph of n.

    Attributes:
        x: `[k, d]`.
        edge_index: their edges `[2, e]`; the new nodes have the numbers n, n + 1, ...
        y: `[k]`.
        parent: for each the node that it was made from `[k]`.
    """

    x: Tensor
    edge_index: Tensor
    y: Tensor
    parent: Tensor

    def joined(self, x: Tensor, edge_index: Tensor, y: Tensor, mask: Tensor) -> Augmented:
        """The graph with these nodes."""
        return Augmented(
            torch.cat([x, self.x]),
            torch.cat([edge_index, self.edge_index], 1),
            torch.cat([y, self.y]),
            torch.cat([mask, torch.ones_like(self.y, dtype=torch.bool)]),
            self.parent,
        )


@dataclass(frozen=True)
class Augmented:
    """A graph with added nodes; the first n nodes are those that were there, with their classes.

    Attributes:
        x: `[n + k, d]`.
        edge_index: `[2, E']`.
        y: `[n + k]`.
        mask: which nodes are learnt from `[n + k]`.
        parent: for each added node the node that it was made from `[k]`.
    """

    x: Tensor
    edge_index: Tensor
    y: Tensor
    mask: Tensor
    parent: Tensor


def check_graph(x: Tensor, edge_index: Tensor, y: Tensor, mask: Tensor) -> None:
    """Refuse arguments of `augment` that are no graph.

    Raises:
        ArgumentError: shapes or types that do not fit together, or no node to learn from.
    """
    nodes = len(x)
    checks = (
        ("x", x.ndim == 2, "[n, d]", list(x.shape)),
        ("edge_index", edge_index.ndim == 2 and edge_index.shape[0] == 2, "[2, E]", list(edge_index.shape)),
        ("y", y.shape == (nodes,), f"one class a node [{nodes}]", list(y.shape)),
        ("mask", mask.shape == (nodes,) and mask.dtype == torch.bool, f"true or false for each node [{nodes}]", mask.dtype),
    )
    for name, holds, expected, found in checks:
        if not holds:
            raise ArgumentError(name, expected, found)
    if edge_index.numel() and (int(edge_index.min()) < 0 or int(edge_index.max()) >= nodes):
        raise ArgumentError("edge_index", f"node numbers from 0 to {nodes - 1}", f"up to {int(edge_index.max())}")
    if not bool(mask.any()):
        raise ArgumentError("mask", "true for at least one node", "none")
    if int(y[mask].min()) < 0:
        raise ArgumentError("y", "a class, 0 or more, of every node in the mask", int(y[mask].min()))


class OnGraph(ABC):
    """A transform that looks at the graph behind a batch of nodes.

    Args:
        x: features of all nodes `[n, d]`.
        edge_index: `[2, E]`.
    """

    def __init__(self, x: Tensor, edge_index: Tensor) -> None:
        self.x, self.edge_index = x, edge_index
        self._features: Tensor | Sparse | None = None

    @abstractmethod
    def __call__(self, oracle: Oracle, batch: Batch) -> Batch:
        """The batch that the step will use; draws from `oracle.generator`."""

    def behind(self, oracle: Oracle, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features and edges of the batch's graph, on the oracle's device."""
        if "graph" in batch.extra:
            x = batch.extra["graph"]["x"]
            return x.dense() if isinstance(x, Sparse) else x, batch.extra["graph"]["edge_index"]
        if self.x.device != oracle.device:
            self.x, self.edge_index, self._features = self.x.to(oracle.device), self.edge_index.to(oracle.device), None
        return self.x, self.edge_index

    def features(self, batch: Batch) -> Tensor | Sparse:
        """The features as networks multiply them fastest; of the graph that `behind` gave last."""
        if "graph" in batch.extra:
            found: Tensor | Sparse = batch.extra["graph"]["x"]
            return found
        if self._features is None:
            self._features = compact(self.x)
        return self._features


class Augmenter(OnGraph):
    """A transform that adds nodes: what a batch becomes when its graph has been augmented."""

    def enlarged(self, oracle: Oracle, batch: Batch, added: Added) -> Batch:
        """The batch in its graph with the added nodes; they stand behind it, with the index of the row they were made from."""
        x, edge_index = self.behind(oracle, batch)
        features, new = self.features(batch), self.numbers(added, len(x))
        joined = features.plus(new, added.x) if isinstance(features, Sparse) else torch.cat([features, added.x])
        graph = {"x": joined, "edge_index": torch.cat([edge_index, added.edge_index], 1)}
        larger = self.longer(batch, added, len(x))
        return larger.replace(extra={**batch.extra, "graph": graph})

    def longer(self, batch: Batch, added: Added, nodes: int) -> Batch:
        """The batch with the rows of the added nodes behind it, in the graph that it has."""
        row = torch.zeros(nodes, dtype=torch.int64, device=batch.target.device)
        row[batch.inputs] = torch.arange(len(batch.inputs), device=batch.target.device)
        origin = row[added.parent]
        return batch.replace(
            inputs=torch.cat([batch.inputs, self.numbers(added, nodes)]),
            target=torch.cat([batch.target, added.y]),
            index=torch.cat([batch.index, batch.index[origin]]),
            share=None if batch.share is None else torch.cat([batch.share, batch.share[origin]]),
        )

    @staticmethod
    def numbers(added: Added, nodes: int) -> Tensor:
        """The numbers of the added nodes `[k]`."""
        return torch.arange(nodes, nodes + len(added.parent), device=added.parent.device)


class FillsUp(Augmenter):
    """An augmenter that fills up every class towards the size of the largest.

    Args:
        x: features of all nodes `[n, d]`.
        edge_index: `[2, E]`.
        num_classes: C.
        ratio: how far classes are filled up, as a share of the largest, in [0, 1].

    Raises:
        ArgumentError: a ratio out of its range.
    """

    def __init__(self, x: Tensor, edge_index: Tensor, num_classes: int, ratio: float) -> None:
        super().__init__(x, edge_index)
        if not 0 <= ratio <= 1:
            raise ArgumentError("ratio", "in [0, 1]", ratio)
        self.num_classes, self.ratio = num_classes, ratio

    def augment(
        self, x: Tensor, edge_index: Tensor, y: Tensor, mask: Tensor, *, generator: torch.Generator | None = None
    ) -> Augmented:
        """The graph with the added nodes.

        Args:
            x: `[n, d]`.
            edge_index: `[2, E]`.
            y: classes `[n]`; looked at in the mask only.
            mask: the nodes to learn from `[n]`.
            generator: to draw from; None for torch's own.

        Raises:
            ArgumentError: no such graph.
        """
        check_graph(x, edge_index, y, mask)
        return self.added(x, edge_index, y, mask, generator).joined(x, edge_index, y, mask)

    @abstractmethod
    def added(self, x: Tensor, edge_index: Tensor, y: Tensor, mask: Tensor, generator: torch.Generator | None) -> Added:
        """The nodes to add; arguments as for `augment`."""

    def parents(self, y: Tensor, mask: Tensor, generator: torch.Generator | None) -> Tensor:
        """For each node to add the one that it is made from, drawn evenly from its class `[K]`."""
        return drawn_nodes(y, mask, lacking(y, mask, self.num_classes, self.ratio), generator)


def labels_of(batch: Batch, nodes: int) -> tuple[Tensor, Tensor]:
    """Class of each node, -1 for those that the batch does not score, and which those are `[n]`."""
    y = torch.full((nodes,), -1, device=batch.target.device)
    y[batch.inputs] = batch.target
    return y, y >= 0


@torch.no_grad()
def logits_of_all(oracle: Oracle, batch: Batch, nodes: int) -> Tensor:
    """What the model says now of every node behind a batch `[n, C]`; its statistics stay as they are."""
    every = torch.arange(nodes, device=batch.target.device)
    whole = Batch(every, torch.zeros_like(every), torch.zeros_like(every), extra=batch.extra)
    return oracle.rows(whole, probe=True).logits.float()


def lacking(y: Tensor, mask: Tensor, classes: int, ratio: float) -> Tensor:
    """Nodes that each class lacks to `ratio` times the largest `[C]`; nothing for a class without any."""
    counts = torch.bincount(y[mask], minlength=classes)
    wanted = (counts.max() * ratio).ceil().long()
    return torch.where(counts > 0, (wanted - counts).clamp_min(0), 0)


def drawn_nodes(y: Tensor, mask: Tensor, wanted: Tensor, generator: torch.Generator | None) -> Tensor:
    """For each class c, `wanted[c]` of its nodes in the mask, each drawn evenly `[K]`; classes in order."""
    nodes = mask.nonzero().flatten()
    nodes = nodes[torch.argsort(y[nodes], stable=True)]
    counts = torch.bincount(y[nodes], minlength=len(wanted))
    label = torch.repeat_interleave(wanted)
    places = torch.rand(len(label), generator=generator, device=y.device) * counts[label]
    first = counts.cumsum(0) - counts
    return nodes[first[label] + places.long().clamp_max(counts[label] - 1)]


def edges_into(edge_index: Tensor, nodes: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Where the edges into some nodes, which may repeat, start `[e]`, and into which of `nodes` they go `[e]`."""
    order = torch.argsort(edge_index[1], stable=True)
    degree = torch.bincount(edge_index[1], minlength=total)
    first = degree.cumsum(0) - degree
    sizes = degree[nodes]
    owner = torch.repeat_interleave(torch.arange(len(nodes), device=nodes.device), sizes)
    within = torch.arange(len(owner), device=nodes.device) - (sizes.cumsum(0) - sizes)[owner]
    return edge_index[0][order[first[nodes][owner] + within]], owner
