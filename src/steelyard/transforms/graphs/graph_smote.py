"""GraphSMOTE: rare classes are filled up with mixtures of embeddings, which are wired into the graph."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.modes import evaluating
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.numeric.graph import in_degree
from steelyard.numeric.sparse import Sparse
from steelyard.transforms.graphs.frame import Added, FillsUp, edges_into, labels_of

Space = Literal["embeddings", "features"]
Index = Literal["fixed", "released"]


@runtime_checkable
class _Embeds(Protocol):
    def embed(self, view: dict[str, object]) -> Tensor | Sparse: ...


class GraphSMOTE(FillsUp):
    """Fill up every class to the size of the largest with mixtures of a node and its nearest node of the same class.

    `h = h_v + delta (h_u - h_v)`, delta uniform in [0, 1), u the nearest of the class's labelled nodes to v. The new node has
    the edges of v and those of u, both ways. With "embeddings", h is what goes into the last layer, and the gradient goes
    through the mixture to both parents; with "features" the features are mixed and all layers see the new node.

    Args:
        x: features of all nodes `[n, d]`.
        edge_index: `[2, E]`.
        num_classes: C.
        ratio: how far classes are filled up, as a share of the largest, in [0, 1].
        space: "embeddings" or "features".
        index: "fixed"; or "released", which wires the new node to the neighbours of node number j where u is the j-th labelled
            node of its class.
        decoder: scores pairs of embeddings; edges of a new node that it finds unlikely (below one half) are dropped. None keeps
            all of them.

    Raises:
        ArgumentError: a value out of its range.

    Reference:
        Zhao, Zhang, Wang: GraphSMOTE: imbalanced node classification on graphs with graph neural networks, WSDM 2021.

    Departures:
        delta is drawn for each node; there once for each class and epoch. Rare classes are filled up to the largest; there they
        are doubled. New nodes are learnt from, and the whole model is updated; in the released mode "T" neither.

    Example:
        >>> x, edges = torch.tensor([[0.0], [1.0], [9.0], [5.0]]), torch.tensor([[0, 2], [2, 0]])
        >>> y, mask = torch.tensor([0, 0, 0, 1]), torch.ones(4, dtype=torch.bool)
        >>> found = GraphSMOTE(x, edges, 2, space="features").augment(x, edges, y, mask)
        >>> found.y.tolist(), found.x[4:].tolist()  # a class of one node can only be repeated
        ([0, 0, 0, 1, 1, 1], [[5.0], [5.0]])
    """

    def __init__(
        self,
        x: Tensor,
        edge_index: Tensor,
        num_classes: int,
        *,
        ratio: float = 1.0,
        space: Space = "embeddings",
        index: Index = "fixed",
        decoder: nn.Module | None = None,
    ) -> None:
        super().__init__(x, edge_index, num_classes, ratio)
        if space not in ("embeddings", "features"):
            raise ArgumentError("space", "'embeddings' or 'features'", repr(space))
        if index not in ("fixed", "released"):
            raise ArgumentError("index", "'fixed' or 'released'", repr(index))
        self.space, self.index, self.decoder = space, index, decoder

    def __call__(self, oracle: Oracle, batch: Batch) -> Batch:
        """The batch with the mixtures behind it."""
        x, edge_index = self.behind(oracle, batch)
        y, mask = labels_of(batch, len(x))
        if self.space == "features":
            return self.enlarged(oracle, batch, self.added(x, edge_index, y, mask, oracle.generator))
        values = self._embedded(oracle, self.features(batch), edge_index)
        first, second, share, new = self.mixtures(values, edge_index, y, mask, oracle.generator)
        pairs = torch.randint(len(x), (2, max(edge_index.shape[1], 1)), generator=oracle.generator, device=x.device)
        edges = {"edge_index": new, "old": edge_index, "pairs": pairs}
        larger = self.longer(batch, Added(values[first], new, y[first], first), len(x))
        return larger.replace(extra={**batch.extra, "mixed": {"first": first, "second": second, "share": share, **edges}})

    def added(self, x: Tensor, edge_index: Tensor, y: Tensor, mask: Tensor, generator: torch.Generator | None) -> Added:
        """Mixtures of features (SMOTE); of embeddings, where those are given in place of x."""
        first, second, share, new = self.mixtures(x, edge_index, y, mask, generator)
        return Added(x[first] + share[:, None] * (x[second] - x[first]), new, y[first], first)

    @torch.no_grad()
    def mixtures(
        self, values: Tensor, edge_index: Tensor, y: Tensor, mask: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is mixed: the two parents `[K]`, the share of the second `[K]`, and the new nodes' edges `[2, e]`."""
        nodes = len(values)
        first = self.parents(y, mask, generator)
        second, local = _nearest(values, y, mask, first)
        share = torch.rand(len(first), generator=generator, device=values.device)
        wired = second if self.index == "fixed" else local
        (one, mine), (other, its) = edges_into(edge_index, first, nodes), edges_into(edge_index, wired, nodes)
        keys = torch.unique(torch.cat([mine * nodes + one, its * nodes + other]))
        start, owner = keys % nodes, keys // nodes
        if self.decoder is not None and len(keys):
            mixed = values[first] + share[:, None] * (values[second] - values[first])
            likely = torch.sigmoid(self.decoder(values[start], mixed[owner])) >= 0.5
            start, owner = start[likely], owner[likely]
        into = torch.stack([start, owner + nodes])
        return first, second, share, torch.cat([into, into.flip(0)], 1)

    @staticmethod
    def _embedded(oracle: Oracle, x: Tensor | Sparse, edge_index: Tensor) -> Tensor:
        model: object = oracle.model
        if not isinstance(model, _Embeds):
            raise CombinationError("graphsmote mixes embeddings, which needs a model by name (gcn, gat or sage)")
        with torch.no_grad(), evaluating(oracle.model):
            values = model.embed({"x": x, "edge_index": edge_index, "degree": in_degree(edge_index, x.shape[0])})
        return values.dense() if isinstance(values, Sparse) else values


def _nearest(values: Tensor, y: Tensor, mask: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """For each chosen node the nearest other labelled node of its class, or itself; and the place of that in the class."""
    nodes = mask.nonzero().flatten()
    distance = torch.cdist(values[chosen].float(), values[nodes].float())
    other = y[nodes][None] != y[chosen][:, None]
    itself = nodes[None] == chosen[:, None]
    distance = distance.masked_fill(other, torch.inf).masked_fill(itself, torch.finfo(distance.dtype).max)
    place = distance.argmin(1) if len(nodes) else chosen
    second = nodes[place]
    rank = (y[nodes][None] == y[nodes][:, None]).tril(-1).sum(1)
    return second, rank[place]
