"""Weights of nodes learnt against the classifier: a small graph network a class finds what it gets wrong."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.roles import Explains, Observes
from steelyard.core.rows import Evidence
from steelyard.core.seeds import generator
from steelyard.core.weighting import Weighting
from steelyard.core.world import join
from steelyard.numeric.graph import adjacency, gcn_edges, in_degree
from steelyard.weightings._own_adam import OwnAdam


class ClassNets(nn.Module):
    """A graph network of two layers for each class, on the training nodes of the class and the edges among them.

    Gives the share of each node in its class: `s_i / sum_c s`, with `s = sigmoid(A_c relu(A_c X_c W_1 + b_1) w_2 + b_2)`.

    Args:
        x: features of all nodes `[n, d]`.
        edge_index: `[2, E]`, each edge once and without loops.
        labelled: node number of each training row `[L]`.
        target: their classes `[L]`.
        hidden: width, 1 or more.
        seed: of the first weights.

    Raises:
        ArgumentError: `hidden` below 1, or no training rows.

    Example:
        >>> nets = ClassNets(torch.eye(3), torch.tensor([[0, 1], [1, 0]]), torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1]))
        >>> nets().detach()  # the first two hear each other alike
        tensor([0.5000, 0.5000, 1.0000])
    """

    values: Tensor
    edges: Tensor
    edge_weights: Tensor
    target: Tensor

    def __init__(
        self, x: Tensor, edge_index: Tensor, labelled: Tensor, target: Tensor, *, hidden: int = 2, seed: int = 0
    ) -> None:
        super().__init__()
        if hidden < 1:
            raise ArgumentError("hidden", "1 or more", hidden)
        if len(labelled) == 0:
            raise ArgumentError("labelled", "at least one training row", "none")
        rows, classes = len(labelled), int(target.max()) + 1
        place = torch.full((len(x),), -1)
        place[labelled] = torch.arange(rows)
        inside = place[edge_index[:, (place[edge_index] >= 0).all(0)]]
        inside = inside[:, target[inside[0]] == target[inside[1]]]
        edges, weights = gcn_edges(inside, in_degree(inside, rows))
        self.register_buffer("edges", edges)
        self.register_buffer("edge_weights", weights)
        self.register_buffer("target", target.clone())
        self.register_buffer("values", adjacency(edges, weights, rows) @ x[labelled].float())
        draws = generator(seed, "class nets")
        bound = math.sqrt(6 / (x.shape[1] + hidden)), math.sqrt(6 / (hidden + 1))
        first = (2 * torch.rand(classes, x.shape[1], hidden, generator=draws) - 1) * bound[0]
        self.first = nn.Parameter(first)
        self.first_bias = nn.Parameter(torch.zeros(classes, hidden))
        self.last = nn.Parameter((2 * torch.rand(classes, hidden, generator=draws) - 1) * bound[1])
        self.last_bias = nn.Parameter(torch.zeros(classes))
        self._rows = [(target == label).nonzero().flatten() for label in range(classes)]

    @property
    def classes(self) -> int:
        """Classes that have training rows."""
        return sum(len(rows) > 0 for rows in self._rows)

    def forward(self) -> Tensor:
        """The share of each training row in its class `[L]`."""
        hidden = self.values.new_zeros(len(self.target), self.first.shape[2])
        for label, rows in enumerate(self._rows):
            own = rows.to(hidden.device)
            hidden = hidden.index_copy(0, own, torch.relu(self.values[own] @ self.first[label] + self.first_bias[label]))
        start, end = self.edges
        heard = torch.zeros_like(hidden).index_add(0, end, self.edge_weights[:, None] * hidden[start])
        scores = torch.sigmoid((heard * self.last[self.target]).sum(1) + self.last_bias[self.target])
        total = scores.new_zeros(len(self._rows)).index_add(0, self.target, scores)
        return scores / total[self.target]


class Adversarial(OwnAdam, Weighting, Observes, Explains):
    """Weights of training nodes that raise the loss: every class has the same total, and within it nodes compete.

    With `w_i = p_i / C`, p_i the share of node i in its class as `nets` gives it, the networks maximise
    `sum_i w_i l_i - gamma sum_i w_i log w_i`, by a step of Adam after each of the classifier. Given out is `L w_i`, of mean 1
    over the L training nodes. A batch of some of them estimates the sum of losses. The larger gamma, the more even the weights
    within a class, which is inverse class frequency.

    Args:
        nets: of the training nodes.
        gamma: of the entropy, 0 or more.
        lr: of Adam, above 0.
        weight_decay: of Adam, 0 or more.

    Shapes:
        `evidence.index` `[N]` to weights `[N]`.

    Raises:
        ArgumentError: a value out of its range; evidence without index or losses.

    Reference:
        Ghorbani, Kazi, Soleymani Baghshah, Rabiee, Navab: RA-GCN: graph convolutional network for disease prediction problems
        with imbalanced data, Medical Image Analysis 2022.

    Departures:
        The losses are those of the classifier's own step, with its dropout. Classes without training nodes are not counted.

    Example:
        >>> nets = ClassNets(torch.eye(3), torch.tensor([[0, 1], [1, 0]]), torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1]))
        >>> Adversarial(nets)(Evidence(target=torch.tensor([0, 1]), index=torch.tensor([0, 2])))
        tensor([0.7500, 1.5000])
    """

    row_weights: Tensor

    def __init__(self, nets: ClassNets, *, gamma: float = 1.0, lr: float = 0.01, weight_decay: float = 5e-4) -> None:
        super().__init__()
        for name, holds, expected, found in (
            ("gamma", 0 <= gamma < math.inf, "a finite number, 0 or more", gamma),
            ("lr", 0 < lr < math.inf, "a finite number above 0", lr),
            ("weight_decay", 0 <= weight_decay < math.inf, "a finite number, 0 or more", weight_decay),
        ):
            if not holds:
                raise ArgumentError(name, expected, found)
        self.nets, self.gamma, self.lr, self.weight_decay = nets, gamma, lr, weight_decay
        self.register_buffer("row_weights", self._given(nets().detach()))

    def forward(self, evidence: Evidence) -> Tensor:
        """The weight of each row `[N]`."""
        if evidence.index is None:
            raise ArgumentError("evidence.index", "the position of each row among the training rows", None)
        return self.row_weights[evidence.index]

    def observe(self, evidence: Evidence) -> None:
        """Move the networks a step towards what the classifier gets wrong."""
        if evidence.index is None or evidence.losses is None:
            raise ArgumentError("evidence", "one with index and losses", "one that lacks one of them")
        adam, rows = self.teacher(), len(self.row_weights)
        with torch.enable_grad():
            weights = self.nets() / self.nets.classes
            harm = (weights[evidence.index] * evidence.losses).sum() * (rows / len(evidence.index))
            even = -torch.xlogy(weights, weights).sum()
            adam.zero_grad()
            (-(harm + self.gamma * even)).backward()
        join().average_gradients(self.nets.parameters(), len(evidence.index))
        adam.step()
        with torch.no_grad():
            self.row_weights.copy_(self._given(self.nets()))

    def explain(self) -> dict[str, Any]:
        """Of each class, the rows that its weights amount to (exp of their entropy), and the largest share of one row."""
        shares, target = self.row_weights * self.nets.classes / len(self.row_weights), self.nets.target
        entropy = torch.zeros(len(self.nets.last), device=shares.device).index_add_(0, target, -torch.xlogy(shares, shares))
        largest = torch.zeros_like(entropy).scatter_reduce_(0, target, shares, "amax")
        return {"effective_rows": entropy.exp().tolist(), "largest_share": largest.tolist()}

    def _given(self, shares: Tensor) -> Tensor:
        return shares * (len(shares) / self.nets.classes)
