"""Training on a part of the graph: a few neighbours of a few nodes, drawn as a function of a number.

Which neighbours a node has in a draw depends on the number of the draw and on the node alone, not on the other nodes of the
batch. So a batch can be scored again, or in parts, and sees the same neighbours: methods that look at a step twice need that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

MIX = (-7046029254386353131, -4658895280553007687, -7723592293110705685)
"""Odd constants of the usual 64-bit hash (splitmix), as signed numbers."""


class Neighbours:
    """The edges of a graph by the node that they go into.

    Args:
        edge_index: `[2, E]`.
        nodes: n.

    Example:
        >>> neighbours = Neighbours(torch.tensor([[0, 2, 1], [1, 1, 2]]), 3)
        >>> neighbours.part(torch.tensor([1]), [None], draw=0)["nodes"]
        tensor([1, 0, 2])
    """

    def __init__(self, edge_index: Tensor, nodes: int) -> None:
        order = torch.argsort(edge_index[1], stable=True)
        self.start = edge_index[0][order]
        self.degree = torch.bincount(edge_index[1], minlength=nodes)
        self.first = self.degree.cumsum(0) - self.degree

    def part(self, seeds: Tensor, most: Sequence[int | None], draw: int = 0) -> dict[str, Tensor]:
        """Everything that the scores of some nodes are made from.

        Args:
            seeds: node numbers `[M]`; may repeat.
            most: for each hop, the most neighbours that a node found in the hop before gets; None for all of them.
            draw: the number of the draw.

        Returns:
            `nodes` `[k]`, the distinct seeds first; `edge_index` `[2, e]` in places of `nodes`; `node` `[M]`, the places of the
            seeds; `degree` `[k]` of the nodes in the whole graph; `scale` `[e]`, how many edges each stands for.
        """
        reached, places = torch.unique(seeds, return_inverse=True)
        place = torch.full_like(self.degree, -1)
        place[reached] = torch.arange(len(reached))
        nodes, fresh = [reached], reached
        starts, ends, scales = list[Tensor](), list[Tensor](), list[Tensor]()
        known = len(reached)
        for hop, limit in enumerate(most):
            start, end, scale = self._drawn(fresh, limit, draw + hop)
            fresh = torch.unique(start[place[start] < 0])
            place[fresh] = torch.arange(known, known + len(fresh))
            known += len(fresh)
            nodes.append(fresh)
            for kept, found in ((starts, start), (ends, end), (scales, scale)):
                kept.append(found)
        found = torch.cat(nodes)
        none = seeds[:0]
        edges = torch.stack([place[torch.cat([*starts, none])], place[torch.cat([*ends, none])]])
        scales.append(torch.empty(0))
        return {
            "nodes": found, "edge_index": edges, "node": places, "degree": self.degree[found], "scale": torch.cat(scales)
        }  # fmt: skip

    def _drawn(self, nodes: Tensor, limit: int | None, draw: int) -> tuple[Tensor, Tensor, Tensor]:
        """Edges into the nodes, at most `limit` into each, without replacement."""
        sizes = self.degree[nodes]
        owner = torch.repeat_interleave(torch.arange(len(nodes)), sizes)
        within = torch.arange(len(owner)) - (sizes.cumsum(0) - sizes)[owner]
        edge = self.first[nodes][owner] + within
        if limit is not None and len(edge) and int(sizes.max()) > limit:
            by_chance = torch.argsort(_hashed(edge, draw))
            order = by_chance[torch.argsort(owner[by_chance], stable=True)]  # by owner, and by chance within one
            kept = order[within < limit]  # `within` also numbers the places of the sorted edges of each owner
            owner, edge = owner[kept], edge[kept]
        taken = sizes if limit is None else sizes.clamp_max(limit)
        scale = (sizes / taken.clamp_min(1))[owner]
        return self.start[edge], nodes[owner], scale


def _hashed(values: Tensor, draw: int) -> Tensor:
    """A number for each value that looks as if drawn at random, int64."""
    mixed = values * MIX[0] + (draw * MIX[1] + (1 << 63)) % (1 << 64) - (1 << 63)
    for shift, factor in ((30, MIX[1]), (27, MIX[2])):
        mixed = (mixed ^ ((mixed >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return mixed ^ ((mixed >> 31) & ((1 << 33) - 1))
