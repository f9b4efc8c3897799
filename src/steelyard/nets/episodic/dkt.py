"""Deep kernel transfer: Gaussian-process regression to labels of -1 and 1, with a kernel that is learnt."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.nets.episodic.episode import Episode, FewShotLearner, Scored
from steelyard.nets.episodic.rebalance import Rebalance


class DKT(FewShotLearner):
    """One Gaussian process a class, against the rest, on features of length one.

    Formula:
        `k(x, x') = s <u(x), u(x')>` with `u = BatchNorm(f) / |BatchNorm(f)|`; with y = 1 for a class and -1 for the others, the
        score is the posterior mean `m + k(x, S) (K_SS + noise I)^-1 (y_S - m)`. Trained by `-sum_k log p(y_k | S and Q)`, the
        marginal likelihood of support and queries together, which is the `penalty` of what it says.

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        rebalance: none, ros or ros-plus.
        size: d, for the BatchNorm; 0 for none.
        noise: variance of the noise, above 0; copies of a row make K singular, which the noise mends.

    Raises:
        ArgumentError: `noise` not above 0.

    Reference:
        Patacchiola, Turner, Crowley, O'Boyle, Storkey: Bayesian meta-learning for the few-shot setting via deep kernels,
        NeurIPS 2020.

    Departures:
        One learning rate for network and kernel (released: 1e-3 and 1e-4). The likelihood is divided by the number of rows and
        classes. Computed in float64.

    Example:
        >>> episode = Episode(torch.eye(2), torch.tensor([0, 1]), torch.eye(2), way=2)
        >>> DKT(nn.Identity(), noise=0.1)(episode).logits.detach().round(decimals=2)
        tensor([[ 0.9100, -0.9100],
                [-0.9100,  0.9100]])
    """

    allowed = ("none", "ros", "ros-plus")

    def __init__(self, backbone: nn.Module, rebalance: Rebalance | None = None, *, size: int = 0, noise: float = 0.1) -> None:
        super().__init__(backbone, rebalance)
        if not 0 < noise < math.inf:
            raise ArgumentError("noise", "above 0", noise)
        self.noise = noise
        self.norm: nn.Module = nn.BatchNorm1d(size) if size else nn.Identity()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.mean = nn.Parameter(torch.zeros(()))

    def score(self, episode: Episode) -> Scored:
        """Posterior means; in training also the marginal likelihood of all labels."""
        features = self.norm(self.backbone(torch.cat([episode.support, episode.query])))
        unit = F.normalize(features.double(), dim=1)
        support, query = unit[: len(episode.support)], unit[len(episode.support) :]
        scale, mean = self.log_scale.double().exp(), self.mean.double()
        labels = 2.0 * episode.one_hot.double() - 1.0
        solved = torch.cholesky_solve(labels - mean, self._factor(support, scale))
        logits = mean + scale * (query @ support.T) @ solved
        penalty = None
        if self.training and episode.answers is not None:
            penalty = self.likelihood(features, torch.cat([episode.target, episode.answers]), episode.way)
        return Scored(logits.to(features.dtype), features[len(episode.support) :], penalty)

    def likelihood(self, features: Tensor, target: Tensor, way: int) -> Tensor:
        """`-sum_k log p(y_k)` of labels `[N]` given normed features `[N, d]`, divided by N and by the number of classes."""
        unit = F.normalize(features.double(), dim=1)
        scale, mean = self.log_scale.double().exp(), self.mean.double()
        rest = 2.0 * F.one_hot(target, way).double() - 1.0 - mean
        factor = self._factor(unit, scale)
        fit = (rest * torch.cholesky_solve(rest, factor)).sum() / 2
        volume = way * (factor.diagonal().log().sum() + len(target) / 2 * math.log(2 * math.pi))
        return ((fit + volume) / rest.numel()).to(features.dtype)

    def _factor(self, unit: Tensor, scale: Tensor) -> Tensor:
        kernel = scale * unit @ unit.T
        factor: Tensor = torch.linalg.cholesky(kernel + self.noise * torch.eye(len(unit), dtype=unit.dtype, device=unit.device))
        return factor
