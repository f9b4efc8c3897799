"""BAT: no node is weighted or repeated; nodes that the model is unsure of are linked to what a class looks like on average."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.modes import evaluating
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.numeric.graph import mean_of_neighbours
from steelyard.numeric.normalise import divisor
from steelyard.transforms.graphs.frame import Added, Augmented, Augmenter, check_graph, labels_of, logits_of_all


class BalancedTopology(Augmenter):
    """Add a node a class, the mean of the nodes taken for that class, with edges to nodes whose class is in doubt.

    With p the model's probabilities and k_v the class of node v (known for training nodes, else the likeliest), the doubt of v
    is `r_v = n_k / max_c n_c * max(u_v - mean of u over nodes of class k_v, 0)`, `u_v = 1 - max p_v`. Node v is linked to the
    node of class j != k_v with probability `r_v s_vj / sum_(i != k_v) s_vi`, where s_v is the share of each class among the
    neighbours of v (`order=1`), or p_v (`order=0`). The new nodes are learnt from, each with its class.

    Args:
        x: features of all nodes `[n, d]`.
        edge_index: `[2, E]`.
        class_counts: training nodes of each class `[C]`.
        order: 0 or 1.
        learn: the nodes of the classes are learnt from, too.

    Raises:
        ArgumentError: another order.

    Reference:
        Liu, Qiu, Zeng, Yoo, Zhou, Xu, Zhu, Weldemariam, He, Tong: Class-imbalanced graph learning without class rebalancing,
        ICML 2024.

    Departures:
        A class that no node is taken for has the mean of its training nodes; there its features are not a number.

    Example:
        >>> x, edges = torch.eye(3), torch.tensor([[0, 1], [1, 0]])
        >>> mask, sure = torch.ones(3, dtype=torch.bool), torch.tensor([[9.0, 0.0], [0.0, 9.0], [0.0, 9.0]])
        >>> bat = BalancedTopology(x, edges, torch.tensor([1, 2]))
        >>> found = bat.augment(x, edges, torch.tensor([0, 1, 1]), mask, logits=sure)
        >>> found.x[3:]
        tensor([[1.0000, 0.0000, 0.0000],
                [0.0000, 0.5000, 0.5000]])
    """

    def __init__(
        self, x: Tensor, edge_index: Tensor, class_counts: Tensor, *, order: Literal[0, 1] = 1, learn: bool = True
    ) -> None:
        super().__init__(x, edge_index)
        if order not in (0, 1):
            raise ArgumentError("order", "0 or 1", order)
        self.class_counts, self.order, self.learn = class_counts, order, learn

    def __call__(self, oracle: Oracle, batch: Batch) -> Batch:
        """The batch with the nodes of its classes behind it."""
        x, edge_index = self.behind(oracle, batch)
        y, mask = labels_of(batch, len(x))
        with evaluating(oracle.model):
            logits = logits_of_all(oracle, batch, len(x))
        larger = self.enlarged(oracle, batch, self._made(x, edge_index, y, mask, logits, oracle.generator))
        return larger if self.learn else batch.replace(extra=larger.extra)

    def augment(
        self,
        x: Tensor,
        edge_index: Tensor,
        y: Tensor,
        mask: Tensor,
        *,
        logits: Tensor,
        generator: torch.Generator | None = None,
    ) -> Augmented:
        """The graph with a node a class.

        Args:
            x: `[n, d]`.
            edge_index: `[2, E]`.
            y: classes `[n]`; looked at in the mask only.
            mask: the nodes to learn from `[n]`.
            logits: what the model says now `[n, C]`.
            generator: to draw from; None for torch's own.

        Raises:
            ArgumentError: no such graph.
        """
        check_graph(x, edge_index, y, mask)
        return self._made(x, edge_index, y, mask, logits, generator).joined(x, edge_index, y, mask)

    def _made(
        self, x: Tensor, edge_index: Tensor, y: Tensor, mask: Tensor, logits: Tensor, generator: torch.Generator | None
    ) -> Added:
        classes, nodes = logits.shape[1], len(x)
        chances = torch.softmax(logits, 1)
        taken = torch.where(mask, y, chances.argmax(1))
        linked = torch.rand(nodes, classes, generator=generator, device=x.device) < self.links(chances, taken, edge_index)
        node, label = linked.nonzero().T
        new = torch.stack([label + nodes, node])
        means = _class_means(x, taken, y, mask, classes)
        labelled = mask.nonzero().flatten()
        parent = labelled[0].repeat(classes)  # of a class without a node: any
        order = torch.argsort(y[labelled], stable=True)
        counts = torch.bincount(y[labelled], minlength=classes)
        parent[counts > 0] = labelled[order][(counts.cumsum(0) - counts)[counts > 0]]
        return Added(means, torch.cat([new, new.flip(0)], 1), torch.arange(classes, device=x.device), parent)

    def links(self, chances: Tensor, taken: Tensor, edge_index: Tensor) -> Tensor:
        """The probability of a link between each node and the node of each class `[n, C]`."""
        classes = chances.shape[1]
        doubt = 1 - chances.max(1).values
        usual = torch.zeros(classes, device=chances.device).index_add_(0, taken, doubt)
        usual = usual / torch.bincount(taken, minlength=classes).clamp_min(1)
        weights = self.class_counts.to(chances) / self.class_counts.max().clamp_min(1)
        risk = (doubt - usual[taken]).clamp_min(0) * weights[taken]
        own = F.one_hot(taken, classes).to(chances)
        likely = chances if self.order == 0 else mean_of_neighbours(own, edge_index.flip(0))
        others = likely * (1 - own)
        total = others.sum(1, keepdim=True)
        return risk[:, None] * others / divisor(total)


def _class_means(x: Tensor, taken: Tensor, y: Tensor, mask: Tensor, classes: int) -> Tensor:
    """Mean features of the nodes taken for each class `[C, d]`; of its training nodes where none is; else zero."""

    def means(label: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        counts = torch.bincount(label[nodes], minlength=classes)
        total = torch.zeros(classes, x.shape[1], device=x.device, dtype=x.dtype).index_add_(0, label[nodes], x[nodes])
        return total / counts.clamp_min(1)[:, None], counts > 0

    found, there = means(taken, torch.ones_like(mask))
    instead, _ = means(y, mask)
    return torch.where(there[:, None], found, instead)
