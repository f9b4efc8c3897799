"""GraphENS: whole neighbourhoods of rare nodes are synthesised, not nodes alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.numeric.graph import in_degree
from steelyard.numeric.sparse import Sparse
from steelyard.transforms.graphs.frame import (
    Added,
    Augmented,
    Augmenter,
    check_graph,
    drawn_nodes,
    edges_into,
    labels_of,
    lacking,
    logits_of_all,
)


class GraphENS(Augmenter):
    """Add ego-networks until every class is as large as the largest: a node mixed of two, with neighbours of both.

    The source is drawn evenly from the nodes of the class; the target from all labelled nodes, each with odds `log(n_c) / n_c`.
    With q the probabilities of their classes, `KL = KL(q_source || q_target)` and `phi = 1 / (1 + e^-KL)`, the neighbours are
    drawn without replacement with odds `phi / d_source` for those of the source plus `(1 - phi) / d_target` for those of the
    target. Their number is drawn from the degrees of the graph, and is at most that of the source. Features are
    `lam x_source + (1 - lam) x_target`, lam ~ Beta(2, 2), but the source's own where the target's matter most to the loss: in
    `sigmoid(KL / 3) keep d` of them. Edges go into the new node only.

    Args:
        x: features of all nodes `[n, d]`.
        edge_index: `[2, E]`.
        num_classes: C.
        keep: share of the features taken from the source, in [0, 1].
        temperature: the logits are divided by it, above 0.
        warmup: epochs in which a new node has the neighbours of its source and nothing of a target but features, 0 or more.

    Raises:
        ArgumentError: a value out of its range.

    Reference:
        Park, Song, Yang: GraphENS: neighbor-aware ego network synthesis for class-imbalanced node classification, ICLR 2022.

    Departures:
        Probabilities and saliency are those of the model now; there they are the step before's. Where every class has one node,
        and all odds would be zero, targets are drawn evenly. No n x n matrix is made. At least one feature is kept where `keep`
        is above 0; there a graph with few features fails.

    Example:
        >>> x, edges = torch.eye(4), torch.tensor([[0, 1, 2, 1], [1, 0, 1, 2]])
        >>> y, mask = torch.tensor([0, 0, 1, 0]), torch.ones(4, dtype=torch.bool)
        >>> found = GraphENS(x, edges, 2).augment(x, edges, y, mask)
        >>> torch.bincount(found.y).tolist(), bool((found.edge_index[0] < 4).all())
        ([3, 3], True)
    """

    def __init__(
        self,
        x: Tensor,
        edge_index: Tensor,
        num_classes: int,
        *,
        keep: float = 0.01,
        temperature: float = 2.0,
        warmup: int = 1,
    ) -> None:
        super().__init__(x, edge_index)
        checks = (
            ("keep", 0 <= keep <= 1, "in [0, 1]", keep),
            ("temperature", temperature > 0, "above 0", temperature),
            ("warmup", warmup >= 0, "0 or more", warmup),
        )
        for name, holds, expected, found in checks:
            if not holds:
                raise ArgumentError(name, expected, found)
        self.num_classes, self.keep, self.temperature, self.warmup = num_classes, keep, temperature, warmup

    def __call__(self, oracle: Oracle, batch: Batch) -> Batch:
        """The batch with the new nodes behind it."""
        x, edge_index = self.behind(oracle, batch)
        y, mask = labels_of(batch, len(x))
        logits = None if oracle.clock.epoch < self.warmup else logits_of_all(oracle, batch, len(x))
        matters = None if self.keep == 0 or logits is None else self._saliency(oracle, batch, mask, edge_index)
        return self.enlarged(oracle, batch, self._made(x, edge_index, y, mask, logits, matters, oracle.generator))

    def augment(
        self,
        x: Tensor,
        edge_index: Tensor,
        y: Tensor,
        mask: Tensor,
        *,
        logits: Tensor | None = None,
        saliency: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Augmented:
        """The graph with ego-networks.

        Args:
            x: `[n, d]`.
            edge_index: `[2, E]`.
            y: classes `[n]`; looked at in the mask only.
            mask: the nodes to learn from `[n]`.
            logits: what the model says of every node `[n, C]`; None for the neighbours of the source alone.
            saliency: how much each feature of the nodes in the mask matters to the loss `[L, d]`; None to mix all features.
            generator: to draw from; None for torch's own.

        Raises:
            ArgumentError: no such graph.
        """
        check_graph(x, edge_index, y, mask)
        return self._made(x, edge_index, y, mask, logits, saliency, generator).joined(x, edge_index, y, mask)

    def _made(
        self,
        x: Tensor,
        edge_index: Tensor,
        y: Tensor,
        mask: Tensor,
        logits: Tensor | None,
        saliency: Tensor | None,
        generator: torch.Generator | None,
    ) -> Added:
        source = drawn_nodes(y, mask, lacking(y, mask, self.num_classes, 1.0), generator)
        target = self._targets(y, mask, len(source), generator)
        differ = torch.zeros(len(source), device=x.device)
        if logits is None:
            start, owner = edges_into(edge_index, source, len(x))
        else:
            chances = self._chances(logits, edge_index)
            differ = F.kl_div(chances[target].log(), chances[source], reduction="none").sum(1).clamp_min(0)
            start, owner = self._neighbours(edge_index, len(x), source, target, torch.sigmoid(differ), generator)
        odds = None if saliency is None else saliency[(mask.cumsum(0) - 1)[target]].abs().float() + 1e-10
        mixed = self._mixed(x, source, target, differ, odds, generator)
        return Added(mixed, torch.stack([start, owner + len(x)]), y[source], source)

    def _targets(self, y: Tensor, mask: Tensor, wanted: int, generator: torch.Generator | None) -> Tensor:
        nodes = mask.nonzero().flatten()
        counts = torch.bincount(y[nodes], minlength=self.num_classes).float()
        odds = (counts.log() / counts)[y[nodes]]
        odds = odds if bool((odds > 0).any()) else torch.ones_like(odds)
        if wanted == 0:
            return nodes[:0]
        return nodes[torch.multinomial(odds, wanted, replacement=True, generator=generator)]

    def _chances(self, logits: Tensor, edge_index: Tensor) -> Tensor:
        """Probabilities of classes, of the mean logits of a node and its neighbours `[n, C]`."""
        total = logits.clone().index_add_(0, edge_index[1], logits[edge_index[0]])
        mean = total / (in_degree(edge_index, len(logits)) + 1)[:, None]
        return torch.softmax(mean / self.temperature, 1).clamp_min(1e-12)

    @staticmethod
    def _neighbours(
        edge_index: Tensor, nodes: int, source: Tensor, target: Tensor, phi: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Drawn neighbours of each new node: node `[e]` and place of the new node `[e]`."""
        degree = in_degree(edge_index, nodes)
        places = torch.randint(nodes, (len(source),), generator=generator, device=source.device)
        wanted = torch.minimum(degree[places], degree[source])
        (one, mine), (other, its) = edges_into(edge_index, source, nodes), edges_into(edge_index, target, nodes)
        keys = torch.cat([mine * nodes + one, its * nodes + other])
        odds = torch.cat([(phi / degree[source])[mine], ((1 - phi) / degree[target])[its]])
        distinct, where = torch.unique(keys, return_inverse=True)
        odds = torch.zeros(len(distinct), device=odds.device).index_add_(0, where, odds)
        uniform = torch.rand(len(odds), generator=generator, device=odds.device).clamp_min(1e-20)
        by_chance = torch.argsort(uniform.log() / odds.clamp_min(1e-20), descending=True)  # exponential clocks
        owner = (distinct // nodes)[by_chance]
        order = by_chance[torch.argsort(owner, stable=True)]
        owner = (distinct // nodes)[order]
        sizes = torch.bincount(owner, minlength=len(source))
        within = torch.arange(len(owner), device=owner.device) - (sizes.cumsum(0) - sizes)[owner]
        kept = within < wanted[owner]
        return (distinct % nodes)[order][kept], owner[kept]

    def _mixed(
        self,
        x: Tensor,
        source: Tensor,
        target: Tensor,
        differ: Tensor,
        odds: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        share = torch.rand(len(source), 3, generator=generator, device=x.device).median(1).values[:, None]  # is Beta(2, 2)
        if odds is not None and self.keep > 0 and len(source):
            most = max(int(x.shape[1] * self.keep), 1)
            chosen = torch.multinomial(odds, most, generator=generator)
            used = (torch.sigmoid(differ / 3) * most).long().clamp_min(1)
            kept = torch.arange(most, device=x.device) < used[:, None]
            share = share.expand(-1, x.shape[1]).clone()
            share.scatter_reduce_(1, chosen, kept.to(share), "amax")
        return share * x[source] + (1 - share) * x[target]

    def _saliency(self, oracle: Oracle, batch: Batch, mask: Tensor, edge_index: Tensor) -> Tensor:
        """Gradient of the batch's cross-entropy by every feature of the labelled nodes `[L, d]`."""
        features, nodes = self.features(batch), mask.nonzero().flatten()
        with torch.enable_grad():
            leaf = torch.zeros(len(nodes), features.shape[1], device=mask.device, requires_grad=True)
            x = features.plus(nodes, leaf) if isinstance(features, Sparse) else features.index_add(0, nodes, leaf)
            extra = {**batch.extra, "graph": {"x": x, "edge_index": edge_index}}
            rows = oracle.rows(batch.replace(extra=extra), probe=True)
            return torch.autograd.grad(F.cross_entropy(rows.logits.float(), rows.target), leaf)[0]
