"""CMW-Net: a weighting network with a head for each group of classes of similar size."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from steelyard.core.counts import CountsLike, as_counts, of_class
from steelyard.core.errors import ArgumentError
from steelyard.core.pool import RowPool
from steelyard.core.roles import Explains
from steelyard.core.rows import Evidence
from steelyard.weightings._taught import Lookahead, Net, Normalise, Taught
from steelyard.weightings.meta_weight_net import learned_function, losses_of


class ClassAwareMetaWeightNet(Taught, Explains):
    """Meta-Weight-Net that also knows how large a row's class is, so it can tell a hard row of a large class from a rare one.

    Classes are sorted into `groups` by size (k-means in one dimension). The network has one trunk and a head for each group:
    `v = sigmoid(a_g . relu(W l + b) + c_g)` for a row of loss l whose class is in group g; `v` is divided by its mean over the
    batch (`normalise`), and learns as in `MetaWeightNet`.

    Args:
        meta: balanced, clean rows.
        class_counts: training rows of each class `[C]`.
        groups: how many groups of classes, 1 or more; fewer where there are fewer different sizes. 1 is `MetaWeightNet`.
        sizes: what is clustered: "log" of the counts, or the "count"s themselves as in the released code, which puts all but
            the largest classes of an exponential profile into one group.
        hidden: width of the trunk, 1 or more.
        normalise: as in `MetaWeightNet`; "detached" is the released code.
        lookahead: when and how it learns; None as in `MetaWeightNet`.
        lr: of Adam, above 0.

    Shapes:
        losses `[N]` and targets `[N]` to weights `[N]`.

    Raises:
        ArgumentError: a value is out of its range.

    Reference:
        Shu, Yuan, Meng, Xu: CMW-Net: learning a class-aware sample weighting mapping for robust deep learning, TPAMI 2023.

    Departures:
        Weights are normalised to mean 1 with the gradient of the divisor, where the released code detaches it
        (`normalise="detached"`), which leaves the scale of v to the signs of the influences. Its first 160 of 200 epochs are
        plain cross-entropy: `Lookahead(after=0.8)`. Groups are exact one-dimensional k-means, there random restarts without a
        seed; log sizes are ours. The soft-label variant for noisy labels is not included.

    Example:
        >>> from steelyard.data import ResidentSource
        >>> meta = RowPool(ResidentSource(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1])))
        >>> ClassAwareMetaWeightNet(meta, [1000, 900, 100, 90, 10]).group.tolist()
        [0, 0, 1, 1, 2]
    """

    def __init__(
        self,
        meta: RowPool,
        class_counts: CountsLike,
        *,
        groups: int = 3,
        sizes: Literal["log", "count"] = "log",
        hidden: int = 100,
        normalise: Normalise = "batch",
        lookahead: Lookahead | None = None,
        lr: float = 1e-3,
    ) -> None:
        super().__init__(meta, normalise=normalise, lookahead=lookahead, lr=lr, weight_decay=1e-5)
        if sizes not in ("log", "count"):
            raise ArgumentError("sizes", "'log' or 'count'", repr(sizes))
        counts = as_counts(class_counts).clamp_min(1).double()
        group = cluster(counts.log() if sizes == "log" else counts, groups)
        self.register_buffer("group", group)
        self.group: Tensor
        self.net = Net(hidden, int(group.max()) + 1)
        self.register_buffer("highest", torch.zeros(()))
        self.highest: Tensor

    def raw(self, evidence: Evidence) -> Tensor:
        """v, in (0, 1) `[N]`."""
        losses = losses_of(evidence)
        self.highest.copy_(torch.maximum(self.highest, losses.detach().max()))
        weights: Tensor = self.net(losses).gather(1, of_class(self.group, evidence.target)[:, None])[:, 0]
        return weights

    def explain(self) -> dict[str, Any]:
        """The learned functions, one for each group of classes, largest classes first."""
        heads = self.net.heads.out_features
        members = [(self.group == g).nonzero().flatten().tolist() for g in range(heads)]
        names = [f"classes {', '.join(map(str, rows[:8]))}{' ...' if len(rows) > 8 else ''}" for rows in members]
        return learned_function(self.net, self.highest, names)


def cluster(sizes: Tensor, groups: int) -> Tensor:
    """Groups of values `[C]` by exact k-means in one dimension, numbered from the largest values down.

    Raises:
        ArgumentError: `groups` below 1.

    Example:
        >>> cluster(torch.tensor([9.0, 1.0, 8.0, 2.0]), 2)
        tensor([0, 1, 0, 1])
    """
    if groups < 1:
        raise ArgumentError("groups", "at least 1", groups)
    values, place = torch.unique(sizes, return_inverse=True)
    weight = torch.bincount(place, minlength=len(values)).double()
    groups, many = min(groups, len(values)), len(values)
    mass = torch.cat([torch.zeros(1).double(), weight.cumsum(0)])
    first = torch.cat([torch.zeros(1).double(), (weight * values).cumsum(0)])
    second = torch.cat([torch.zeros(1).double(), (weight * values * values).cumsum(0)])

    def spread(ends: Tensor, end: int) -> Tensor:
        """Sum of squares within values[start:end] for each start."""
        total = mass[end] - mass[ends]
        return second[end] - second[ends] - (first[end] - first[ends]) ** 2 / total

    best = torch.full((groups + 1, many + 1), torch.inf, dtype=torch.float64)
    best[0, 0] = 0.0
    cut = torch.zeros(groups + 1, many + 1, dtype=torch.int64)
    for k in range(1, groups + 1):
        for end in range(k, many + 1):
            starts = torch.arange(k - 1, end)
            costs = best[k - 1, starts] + spread(starts, end)
            chosen = int(costs.argmin())
            best[k, end], cut[k, end] = costs[chosen], starts[chosen]
    label, end = torch.empty(many, dtype=torch.int64), many
    for k in range(groups, 0, -1):
        start = int(cut[k, end])
        label[start:end] = groups - k
        end = start
    return label[place]
