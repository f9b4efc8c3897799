"""A graph with features and classes of its nodes, checked once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError
from steelyard.numeric.graph import distinct, homophily, in_degree, undirected
from steelyard.numeric.normalise import divisor

UNKNOWN = -1
FEATURES = ("raw", "row", "standard")


@dataclass(frozen=True)
class Graph:
    """Nodes, edges and classes.

    Attributes:
        name: shown in tables.
        x: features of the nodes `[n, d]`, float32.
        edge_index: `[2, E]` int64: each edge once, without loops; an undirected one is there both ways.
        y: class of each node `[n]`, int64; -1 where unknown: such a node takes part in the graph and in no split.
        class_names: of class 0, 1, ..., C-1.
        masks: node numbers of the splits that came with the data, "train", "valid" and "test"; empty without.
        notes: what was decided about the data, a sentence each.
        flags: how many of the last features are 0 and 1 (words of a table): these are not standardised.
    """

    name: str
    x: Tensor
    edge_index: Tensor
    y: Tensor
    class_names: tuple[str, ...]
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    flags: int = 0

    @property
    def nodes(self) -> int:
        """How many there are."""
        return len(self.y)

    def replace(self, **changes: Any) -> Graph:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def statistics(self) -> dict[str, Any]:
        """Nodes, undirected edges, mean degree, isolated nodes, homophily and what it would be by chance."""
        pairs = torch.stack([self.edge_index.min(0).values, self.edge_index.max(0).values])
        edges = distinct(pairs, self.nodes).shape[1]
        touched = in_degree(self.edge_index, self.nodes) + in_degree(self.edge_index.flip(0), self.nodes)
        alike, chance = homophily(self.edge_index, self.y)
        return {
            "nodes": self.nodes,
            "edges": edges,
            "mean_degree": 2 * edges / max(self.nodes, 1),
            "isolated_nodes": int((touched == 0).sum()),
            "homophily": alike if alike == alike else None,
            "homophily_by_chance": chance if chance == chance else None,
        }


def checked(
    name: str,
    x: Any,
    edge_index: Any,
    y: Any,
    *,
    directed: bool = False,
    class_names: tuple[str, ...] | None = None,
    **rest: Any,
) -> Graph:
    """A graph of arrays, if they are one.

    Args:
        name: shown in tables.
        x: `[n, d]` numbers.
        edge_index: `[2, E]` node numbers.
        y: `[n]` classes 0..C-1, or any labels where `class_names` is None; below 0 for unknown.
        directed: keep edges as they are; otherwise each is there both ways. Loops and repetitions are dropped in any case.
        class_names: labels of class 0, 1, ...
        rest: `masks`, `notes` and `flags`.

    Raises:
        DataError: no nodes, features that are no numbers, edges of nodes that are not there, or fewer than two classes.
    """
    values, labels = _tensor(x, "x"), _tensor(y, "y")
    edges = _tensor(edge_index, "edge_index")
    if len(labels) == 0:
        raise DataError(f"graph '{name}' is empty: it has no nodes")
    if values.ndim != 2 or values.shape[1] == 0:
        raise DataError(f"x of graph '{name}' should be [nodes, features]; found shape {list(values.shape)}")
    if labels.ndim != 1 or len(labels) != len(values):
        raise DataError(f"y of graph '{name}' should be one class a node [{len(values)}]; found shape {list(labels.shape)}")
    bad = (~torch.isfinite(values)).any(1)
    if bool(bad.any()):
        raise DataError(
            f"x of graph '{name}' has NaN or infinite values in {int(bad.sum())} nodes, the first of them node "
            f"{int(bad.nonzero()[0])}: fill them in first"
        )
    edges = _edges(name, edges, len(labels))
    edges = distinct(edges, len(labels)) if directed else undirected(edges, len(labels))
    target, names = _classes(name, labels, class_names)
    return Graph(name, values.float(), edges, target, names, **rest)


def with_features(graph: Graph, how: str) -> Graph:
    """The graph with features as they are ("raw"), each node's summing to 1 ("row"), or of mean 0 and variance 1 ("standard").

    Mean and variance are those of all nodes: that is no leak, as in a graph the features of all nodes are seen in training.
    Words of a table, as 0 and 1, are not standardised: of a rare one the 1 would become a very large number.

    Raises:
        ArgumentError: unknown.
    """
    if how not in FEATURES:
        raise ArgumentError("features", " or ".join(map(repr, FEATURES)), repr(how))
    if how == "row":
        total = graph.x.abs().sum(1, keepdim=True)
        return graph.replace(x=graph.x / divisor(total))
    if how == "standard":
        width = graph.x.shape[1] - graph.flags
        numbers = graph.x[:, :width].double()
        spread = numbers.std(0, correction=0)
        centred = (numbers - numbers.mean(0)) / spread.where(spread > 1e-12, spread.new_ones(()))
        return graph.replace(x=torch.cat([centred.float(), graph.x[:, width:]], 1))
    return graph


def _tensor(values: Any, what: str) -> Tensor:
    try:
        copied = values.copy() if isinstance(values, np.ndarray) else values  # what pandas gives may not be written to
        found = torch.as_tensor(copied).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{what} of a graph should hold numbers ({error})") from None
    return found.float() if found.dtype == torch.bool else found


def _edges(name: str, edges: Tensor, nodes: int) -> Tensor:
    if edges.numel() == 0:
        return torch.empty(2, 0, dtype=torch.int64)
    if edges.ndim != 2 or edges.shape[0] != 2:
        found = list(edges.shape)
        turned = ": give it transposed" if edges.ndim == 2 and edges.shape[1] == 2 else ""
        raise DataError(f"edge_index of graph '{name}' should be [2, edges]; found shape {found}{turned}")
    if edges.is_floating_point() and bool((edges != edges.floor()).any()):
        raise DataError(f"edge_index of graph '{name}' should hold whole node numbers")
    low, high = int(edges.min()), int(edges.max())
    if low < 0 or high >= nodes:
        wrong = low if low < 0 else high
        raise DataError(f"an edge of graph '{name}' ends at node {wrong}, but nodes are numbered 0 to {nodes - 1}")
    return edges.long()


def _classes(name: str, labels: Tensor, class_names: tuple[str, ...] | None) -> tuple[Tensor, tuple[str, ...]]:
    if labels.is_floating_point() and bool((labels != labels.floor()).any()):
        raise DataError(f"y of graph '{name}' should hold one class a node, as whole numbers")
    target = labels.long()
    known = torch.unique(target[target >= 0])
    if class_names is None:
        class_names = tuple(str(int(value)) for value in known)
        places = torch.searchsorted(known, target.clamp_min(0)) if len(known) else target
        target = torch.where(target >= 0, places, UNKNOWN)
    elif len(known) and int(known.max()) >= len(class_names):
        raise DataError(f"y of graph '{name}' has class {int(known.max())}, but there are {len(class_names)} class names")
    if len(known) < 2:
        raise DataError(f"graph '{name}' has {len(known)} classes among its labelled nodes: at least two are needed")
    return torch.where(target >= 0, target, UNKNOWN), class_names
