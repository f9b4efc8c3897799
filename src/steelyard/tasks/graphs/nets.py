"""Graph networks by name: message passing by torch_geometric, and a linear classifier on top that every method can get at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.head import Tap
from steelyard.numeric.graph import gcn_edges, in_degree
from steelyard.numeric.sparse import Sparse
from steelyard.tasks.graphs.library import geometric

View = Mapping[str, Any]
"""A graph, or the part of it that a batch needs: `x` `[n, d]` (a tensor or `Sparse`), `edge_index` `[2, E]`, `node` `[M]` (the
nodes that are scored), and for a sampled part `degree` `[n]` and `scale` `[E]` (see `steelyard.numeric.graph.gcn_edges`)."""


class FeatureLinear(nn.Linear):
    """A linear layer that also takes the features of a graph as a sparse matrix."""

    def forward(self, input: Any) -> Tensor:
        """`[n, d]` to `[n, width]`."""
        if not isinstance(input, Sparse):
            return F.linear(input, self.weight, self.bias)
        product = input.times(self.weight.t())
        bias: Tensor | None = self.bias
        return product if bias is None else product + bias


class GraphNet(nn.Module, ABC):
    """A network of `layers` rounds of messages: `layers - 1` hidden ones, then the last one, and a linear classifier.

    A subclass says what a hidden round and the last one are. Where the messages of a layer are linear, as in GCN and SAGE, a
    classifier behind the last round is the same function as a last layer that sends its classes' scores around.

    Args:
        features: d, numbers of a node.
        num_classes: C.
        layers: rounds of messages, 1 or more; 0 hidden ones are a linear model.
        hidden: width of the hidden layers.
        dropout: of the hidden layers, in [0, 1).

    Shapes:
        A `View` whose `node` is `[M]` to logits `[M, C]`.

    Raises:
        ArgumentError: a value out of its range.
    """

    reach = True
    """Do scores depend on neighbours?"""
    head: nn.Module
    """The classifier, which a subclass makes and a method may exchange."""

    def __init__(self, features: int, num_classes: int, layers: int, hidden: int, dropout: float) -> None:
        super().__init__()
        checks = (
            ("layers", layers >= 1, "1 or more", layers),
            ("hidden", hidden >= 1, "1 or more", hidden),
            ("dropout", 0 <= dropout < 1, "in [0, 1)", dropout),
        )
        for name, holds, expected, found in checks:
            if not holds:
                raise ArgumentError(name, expected, found)
        self.layers, self.dropout = layers, dropout
        self.width = features if layers == 1 else hidden

    @property
    def hops(self) -> int:
        """How far away a node's score depends on others."""
        return self.layers if self.reach else 0

    @abstractmethod
    def embed(self, view: View) -> Any:
        """What goes into the last round `[n, width]`, for every node of the view."""

    @abstractmethod
    def gathered(self, values: Any, view: View) -> Tensor:
        """The input of the classifier `[n, .]`, after the last round, of every node of the view."""

    def score(self, features: Tensor) -> Tensor:
        """The classifier: `[M, .]` to logits `[M, C]`."""
        logits: Tensor = self.head(features)
        return logits

    def forward(self, view: View) -> Tensor:
        """Logits `[M, C]` of the nodes `view["node"]`."""
        return self.score(self.gathered(self.embed(view), view)[view["node"]])

    def _ended(self, values: Tensor) -> Tensor:
        return F.dropout(F.relu(values), self.dropout, self.training)


def _dense(values: Any) -> Tensor:
    return values.dense() if isinstance(values, Sparse) else values


class GCN(GraphNet):
    """Graph convolutions: `Z = A_hat relu(... A_hat X W_1 ...) W_L`.

    Args:
        features: d.
        num_classes: C.
        layers: L, 1 or more.
        hidden: width.
        dropout: of the hidden layers.

    Reference:
        Kipf, Welling: Semi-supervised classification with graph convolutional networks, ICLR 2017.

    Departures:
        No dropout on the features. The last weight follows the last messages: the same function.
    """

    def __init__(self, features: int, num_classes: int, *, layers: int = 2, hidden: int = 64, dropout: float = 0.5) -> None:
        super().__init__(features, num_classes, layers, hidden, dropout)
        conv = geometric("nn").GCNConv
        widths = [features, *[hidden] * (layers - 1)]
        self.linears = nn.ModuleList(_glorot(FeatureLinear(a, hidden, bias=False)) for a in widths[:-1])
        self.messages = nn.ModuleList(_bare(conv(hidden, hidden, normalize=False)) for _ in widths[:-1])
        self.last = _bare(conv(self.width, self.width, normalize=False, bias=False))
        self.head = _glorot(nn.Linear(self.width, num_classes))

    def embed(self, view: View) -> Any:
        """`[n, hidden]`; the features themselves where there is one layer."""
        edges, weights = self._edges(view)
        values = view["x"]
        for linear, message in zip(self.linears, self.messages, strict=True):
            values = self._ended(message(linear(values), edges, weights))
        return values

    def gathered(self, values: Any, view: View) -> Tensor:
        """`A_hat values`."""
        gathered: Tensor = self.last(_dense(values), *self._edges(view))
        return gathered

    @staticmethod
    def _edges(view: View) -> tuple[Tensor, Tensor]:
        degree = view.get("degree")
        degree = in_degree(view["edge_index"], view["x"].shape[0]) if degree is None else degree
        return gcn_edges(view["edge_index"], degree, view.get("scale"))


class SAGE(GraphNet):
    """GraphSAGE with means: a node's own values beside the mean of its neighbours'.

    Args:
        features: d.
        num_classes: C.
        layers: 1 or more.
        hidden: width.
        dropout: of the hidden layers.

    Reference:
        Hamilton, Ying, Leskovec: Inductive representation learning on large graphs, NeurIPS 2017.

    Departures:
        Values are not scaled to length 1. The means are taken of the transformed values, which is the same.
    """

    def __init__(self, features: int, num_classes: int, *, layers: int = 2, hidden: int = 64, dropout: float = 0.5) -> None:
        super().__init__(features, num_classes, layers, hidden, dropout)
        widths = [features, *[hidden] * (layers - 1)]
        self.of_others = nn.ModuleList(FeatureLinear(a, hidden) for a in widths[:-1])
        self.of_itself = nn.ModuleList(FeatureLinear(a, hidden, bias=False) for a in widths[:-1])
        self.mean = geometric("nn").SimpleConv(aggr="mean")
        self.head = nn.Linear(2 * self.width, num_classes)

    def embed(self, view: View) -> Any:
        """`[n, hidden]`; the features themselves where there is one layer."""
        values = view["x"]
        for others, itself in zip(self.of_others, self.of_itself, strict=True):
            values = self._ended(self.mean(others(values), view["edge_index"]) + itself(values))
        return values

    def gathered(self, values: Any, view: View) -> Tensor:
        """Mean of the neighbours' values, then a node's own."""
        values = _dense(values)
        return torch.cat([self.mean(values, view["edge_index"]), values], 1)


class GAT(GraphNet):
    """Graph attention: a node listens to its neighbours by how its values fit theirs.

    Args:
        features: d.
        num_classes: C.
        layers: 1 or more.
        hidden: width of the hidden layers, all heads together.
        heads: of attention, 1 or more; a divisor of `hidden`.
        dropout: of the hidden layers and of the attention.

    Raises:
        ArgumentError: heads that do not divide the width.

    Reference:
        Velickovic, Cucurull, Casanova, Romero, Lio, Bengio: Graph attention networks, ICLR 2018.

    Departures:
        The last layer attends with one head of width `hidden`, and a linear classifier follows. No dropout on the features.
    """

    def __init__(
        self, features: int, num_classes: int, *, layers: int = 2, hidden: int = 64, heads: int = 8, dropout: float = 0.5
    ) -> None:
        super().__init__(features, num_classes, layers, hidden, dropout)
        if heads < 1 or hidden % heads:
            raise ArgumentError("heads", f"a divisor of hidden = {hidden}", heads)
        conv = geometric("nn").GATConv
        widths = [features, *[hidden] * (layers - 1)]
        self.linears = nn.ModuleList(_glorot(FeatureLinear(a, hidden, bias=False)) for a in widths)
        self.messages = nn.ModuleList(_bare(conv(hidden, hidden // heads, heads, dropout=dropout)) for _ in widths[:-1])
        self.last = _bare(conv(hidden, hidden, dropout=dropout))
        self.head = nn.Linear(hidden, num_classes)

    def embed(self, view: View) -> Any:
        """`[n, hidden]`; the features themselves where there is one layer."""
        values = view["x"]
        for linear, message in zip(self.linears[:-1], self.messages, strict=True):
            values = F.dropout(F.elu(message(linear(values), view["edge_index"])), self.dropout, self.training)
        return values

    def gathered(self, values: Any, view: View) -> Tensor:
        """One head of attention over all values."""
        gathered: Tensor = self.last(self.linears[-1](values), view["edge_index"])
        return gathered


class NodeMLP(GraphNet):
    """The control: the same network without the graph. Each node is scored by its own features alone.

    Args:
        features: d.
        num_classes: C.
        layers: linear layers, 1 or more.
        hidden: width.
        dropout: of the hidden layers.
    """

    reach = False

    def __init__(self, features: int, num_classes: int, *, layers: int = 2, hidden: int = 64, dropout: float = 0.5) -> None:
        super().__init__(features, num_classes, layers, hidden, dropout)
        widths = [features, *[hidden] * (layers - 1)]
        self.linears = nn.ModuleList(FeatureLinear(a, hidden) for a in widths[:-1])
        self.head = nn.Linear(self.width, num_classes)

    def embed(self, view: View) -> Any:
        """`[n, hidden]`."""
        values = view["x"]
        for linear in self.linears:
            values = self._ended(linear(values))
        return values

    def gathered(self, values: Any, view: View) -> Tensor:
        """The values themselves."""
        return _dense(values)


class Foreign(nn.Module):
    """A network of the user's that maps `(x, edge_index)` to scores of all nodes `[n, C]`, as is usual with torch_geometric.

    Attributes:
        features: the input of its last linear layer for the nodes scored last `[M, .]`; None where it has no such layer for
            every node.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.features: Tensor | None = None

    def forward(self, view: View) -> Tensor:
        """Logits `[M, C]` of the nodes `view["node"]`."""
        tap = Tap(self.module)
        try:
            logits: Tensor = self.module(_dense(view["x"]), view["edge_index"])
        finally:
            tap.close()
        seen = tap.take()
        whole = seen is not None and seen.ndim == 2 and len(seen) == view["x"].shape[0]
        self.features = seen[view["node"]] if whole and seen is not None else None
        return logits[view["node"]]


NETS: dict[str, type[GraphNet]] = {"gcn": GCN, "gat": GAT, "sage": SAGE, "mlp": NodeMLP}


def _glorot(linear: nn.Linear) -> nn.Linear:
    nn.init.xavier_uniform_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


def _bare(layer: Any) -> Any:
    """A layer of torch_geometric that only sends messages: its linear map is a layer of ours, before it."""
    layer.lin = nn.Identity()
    return layer
