"""Over-sampling of nodes: nodes of rare classes are repeated, with their edges."""

from __future__ import annotations

import torch
from torch import Tensor

from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.transforms.graphs.frame import Added, FillsUp, edges_into, labels_of


class NodeOversample(FillsUp):
    """Fill up every class to the size of the largest with copies of its nodes, which have the edges of the originals.

    Args:
        x: features of all nodes `[n, d]`.
        edge_index: `[2, E]`.
        num_classes: C.
        ratio: how far classes are filled up, as a share of the largest, in [0, 1].
        both_ways: copies also send messages. Without, they are to a network of messages what repeated rows are.

    Raises:
        ArgumentError: a ratio out of its range.

    Reference:
        The over-sampling baseline of Zhao, Zhang, Wang: GraphSMOTE, WSDM 2021.

    Departures:
        Originals are drawn anew at every step, and classes filled up to one size; there the rare ones are doubled once.

    Example:
        >>> x, edges = torch.eye(3), torch.tensor([[0, 1], [1, 0]])
        >>> found = NodeOversample(x, edges, 2).augment(x, edges, torch.tensor([0, 1, 1]), torch.ones(3, dtype=torch.bool))
        >>> found.y.tolist(), found.edge_index.tolist()
        ([0, 1, 1, 0], [[0, 1, 1, 3], [1, 0, 3, 1]])
    """

    def __init__(self, x: Tensor, edge_index: Tensor, num_classes: int, *, ratio: float = 1.0, both_ways: bool = True) -> None:
        super().__init__(x, edge_index, num_classes, ratio)
        self.both_ways = both_ways

    def __call__(self, oracle: Oracle, batch: Batch) -> Batch:
        """The batch with the copies behind it."""
        x, edge_index = self.behind(oracle, batch)
        y, mask = labels_of(batch, len(x))
        return self.enlarged(oracle, batch, self.added(x, edge_index, y, mask, oracle.generator))

    def added(self, x: Tensor, edge_index: Tensor, y: Tensor, mask: Tensor, generator: torch.Generator | None) -> Added:
        """The copies; arguments as for `augment`."""
        copied = self.parents(y, mask, generator)
        start, owner = edges_into(edge_index, copied, len(x))
        into = torch.stack([start, owner + len(x)])
        return Added(x[copied], torch.cat([into, into.flip(0)], 1) if self.both_ways else into, y[copied], copied)
