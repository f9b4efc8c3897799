"""Learners trained on classes first, whose features then decide by distance: SimpleShot and nearest neighbours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.nets.episodic.episode import Episode, FewShotLearner, Scored, class_means, squared_distances
from steelyard.nets.episodic.rebalance import Rebalance

MOMENTUM = 0.02
FAR = 1e4
"""Below every vote: what separates classes with equally many votes is the distance, scaled down by this."""


class Pretrained(FewShotLearner):
    """Base of learners whose backbone is trained to tell all training classes apart.

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        head: features to logits `[N, C]` of the training classes.
        rebalance: what is done about unequal support.
    """

    allowed: tuple[str, ...] = ("none", "ros", "ros-plus")

    def __init__(self, backbone: nn.Module, head: nn.Module, rebalance: Rebalance | None = None) -> None:
        super().__init__(backbone, rebalance)
        self.head = head

    def classify(self, inputs: Tensor) -> Tensor:
        """Logits `[N, C]` over training classes."""
        logits: Tensor = self.head(self.backbone(inputs))
        return logits


class SimpleShot(Pretrained):
    """SimpleShot with CL2N: features centred by the training mean, divided by their length, nearest centroid.

    Formula:
        `u(x) = (f(x) - m) / |f(x) - m|`, `z_k = -|u(x) - mean of u over the support of k|^2`

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        head: features to logits of the training classes.
        rebalance: what is done about unequal support: none, ros or ros-plus, as there is no loss of the support.
        size: d.

    Attributes:
        mean: m `[d]`: a running mean in training; `set_mean` puts the exact one in its place.

    Reference:
        Wang, Chao, Weinberger, van der Maaten: SimpleShot: revisiting nearest-neighbor classification for few-shot learning,
        arXiv 1911.04623, 2019.

    Departures:
        The running mean of one release divides by i instead of i + 1; here the final mean is exact.

    Example:
        >>> learner = SimpleShot(nn.Identity(), nn.Linear(2, 3), size=2)
        >>> episode = Episode(torch.eye(2), torch.tensor([0, 1]), torch.tensor([[3.0, 0.0]]), way=2)
        >>> learner(episode).logits
        tensor([[-0., -2.]])
    """

    mean: Tensor

    def __init__(self, backbone: nn.Module, head: nn.Module, rebalance: Rebalance | None = None, *, size: int) -> None:
        super().__init__(backbone, head, rebalance)
        self.register_buffer("mean", torch.zeros(size))

    def classify(self, inputs: Tensor) -> Tensor:
        """Logits `[N, C]`; in training the mean follows along."""
        features = self.backbone(inputs)
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(features.detach().mean(0).to(self.mean.dtype), MOMENTUM)
        logits: Tensor = self.head(features)
        return logits

    def set_mean(self, mean: Tensor) -> None:
        """Use this mean `[d]`."""
        self.mean.copy_(mean)

    def score(self, episode: Episode) -> Scored:
        """Minus squared distances to the centroids, which are not normalised again."""
        support, query = (F.normalize(part - self.mean, dim=1) for part in self.embedded(episode))
        return Scored(-squared_distances(query, class_means(support, episode)), query)


class NearestNeighbours(Pretrained):
    """k nearest support examples vote.

    With features that say nothing, 1-NN decides for class c in n_c / N_S of the cases.

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        head: features to logits of the training classes.
        rebalance: what is done about unequal support: none, ros or ros-plus. Plain copies change nothing for k = 1.
        k: neighbours, at least 1; all of the support where there is less. Equal votes are decided by the nearest example.

    Raises:
        ArgumentError: `k` below 1.

    Reference:
        Cover, Hart: Nearest neighbor pattern classification, IEEE Transactions on Information Theory 13(1), 1967.

    Example:
        >>> episode = Episode(torch.eye(2), torch.tensor([0, 1]), torch.tensor([[3.0, 0.0]]), way=2)
        >>> NearestNeighbours(nn.Identity(), nn.Linear(2, 3))(episode).logits.argmax(1)
        tensor([0])
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, rebalance: Rebalance | None = None, *, k: int = 1) -> None:
        super().__init__(backbone, head, rebalance)
        if k < 1:
            raise ArgumentError("k", "at least 1", k)
        self.k = k

    def score(self, episode: Episode) -> Scored:
        """For k = 1 minus the distance of the nearest example of each class; else votes, and that distance among equals."""
        support, query = self.embedded(episode)
        distances = squared_distances(query, support)
        members = episode.one_hot.bool()
        nearest = torch.where(members, distances.unsqueeze(2), torch.inf).amin(1)
        if self.k == 1:
            return Scored(-nearest, query)
        among = distances.topk(min(self.k, len(support)), dim=1, largest=False).indices
        votes = F.one_hot(episode.target[among], episode.way).sum(1).to(nearest.dtype)
        spread = 1 + nearest.amax(1, keepdim=True)
        return Scored(votes - nearest / spread / FAR, query)
