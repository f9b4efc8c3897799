"""Learners that compare a query with one prototype a class: Prototypical Networks, and cosine to prototypes of one length."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.nets.episodic.episode import Episode, FewShotLearner, Scored, class_means, squared_distances
from steelyard.nets.episodic.rebalance import Rebalance


class ProtoNet(FewShotLearner):
    """Prototypical Networks: the class whose mean support feature is nearest.

    Formula:
        `z_k = -|f(x) - c_k|^2`, `c_k = mean of f over the support of k`

    With features that say nothing the rule prefers classes with much support: `E|q - c_k|^2 = d s^2 (1 + 1 / n_k)`.

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        rebalance: what is done about unequal support.

    Reference:
        Snell, Swersky, Zemel: Prototypical networks for few-shot learning, NeurIPS 2017.

    Example:
        >>> episode = Episode(torch.eye(2), torch.tensor([0, 1]), torch.tensor([[1.0, 0.0]]), way=2)
        >>> ProtoNet(nn.Identity())(episode).logits
        tensor([[-0., -2.]])
    """

    def score(self, episode: Episode) -> Scored:
        """Minus squared distances to the prototypes."""
        support, query = self.embedded(episode)
        return Scored(-squared_distances(query, class_means(support, episode)), query)


class CosinePrototypes(FewShotLearner):
    """Cosine between a query and prototypes of length one: favours no class for its number of support examples.

    Formula:
        `z_k = s <f(x) / |f(x)|, c_k / |c_k|>`

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        rebalance: what is done about unequal support.
        scale: first value of s, above 0, which is learnt; it decides nothing.

    Raises:
        ArgumentError: `scale` not above 0.

    Reference:
        Gidaris, Komodakis: Dynamic few-shot visual learning without forgetting, CVPR 2018.

    Example:
        >>> episode = Episode(torch.eye(2), torch.tensor([0, 1]), torch.tensor([[3.0, 0.0]]), way=2)
        >>> CosinePrototypes(nn.Identity(), scale=10.0)(episode).logits.detach()
        tensor([[10.,  0.]])
    """

    def __init__(self, backbone: nn.Module, rebalance: Rebalance | None = None, scale: float = 10.0) -> None:
        super().__init__(backbone, rebalance)
        if not scale > 0:
            raise ArgumentError("scale", "above 0", scale)
        self.log_scale = nn.Parameter(torch.tensor(float(scale)).log())

    def score(self, episode: Episode) -> Scored:
        """Scaled cosines."""
        support, query = self.embedded(episode)
        prototypes = F.normalize(class_means(support, episode), dim=1)
        cosines: Tensor = F.normalize(query, dim=1) @ prototypes.T
        return Scored(self.log_scale.exp() * cosines, query)
