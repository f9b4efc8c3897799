"""Meta nodes in a graph of their own."""

from __future__ import annotations

import torch
from torch import Tensor

from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.rows import Batch
from steelyard.core.sampler import SamplerFactory, ShuffledSampler
from steelyard.core.task import Source
from steelyard.methods.graphs._whole import nodes_of


class MetaGraph(RowPool):
    """Draws batches of nodes that see each other and nothing else: the edges among them alone are theirs.

    Args:
        source: of node numbers.
        x: features of all nodes `[n, d]`.
        edge_index: `[2, E]`.
        batch_size: nodes a batch.
        sampler: in which order.
        seed: of the order.
    """

    def __init__(
        self,
        source: Source,
        x: Tensor,
        edge_index: Tensor,
        *,
        batch_size: int,
        sampler: SamplerFactory = ShuffledSampler,
        seed: int = 0,
    ) -> None:
        super().__init__(source, batch_size=batch_size, sampler=sampler, seed=seed)
        nodes = torch.unique(nodes_of(source))
        self.place = torch.full((len(x),), -1)
        self.place[nodes] = torch.arange(len(nodes))
        inside = edge_index[:, (self.place[edge_index] >= 0).all(0)]
        self.x, self.edge_index = x[nodes], self.place[inside]

    def batch(self, oracle: Oracle, number: int | None = None) -> Batch:
        """The batch of that number, in the graph of all meta nodes."""
        found = super().batch(oracle, number)
        if self.x.device != oracle.device:
            self.place = self.place.to(oracle.device)
            self.x, self.edge_index = self.x.to(oracle.device), self.edge_index.to(oracle.device)
        nodes = found.inputs if found.inputs.ndim == 1 else found.inputs[:, 0]
        graph = {"x": self.x, "edge_index": self.edge_index}
        return found.replace(inputs=self.place[nodes], extra={**found.extra, "graph": graph})
