"""Baseline and Baseline++: ordinary training on classes, and in every episode a new classifier on frozen features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import generator
from steelyard.nets.cosine_head import FLOOR
from steelyard.nets.episodic.episode import Episode, Scored
from steelyard.nets.episodic.nearest import Pretrained
from steelyard.nets.episodic.rebalance import Rebalance

MOMENTUM, WEIGHT_DECAY = 0.9, 1e-3


class Baseline(Pretrained):
    """A linear classifier is fitted to the features of the support, by gradient descent on all of it at once.

    Formula:
        `min_{W, b} sum w_y CE(W f(x) + b, y) / sum w_y`, w by `rebalance`; with `cosine` the logits are
        `scale <f / |f|, W_k / |W_k|>`.

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        head: features to logits of the training classes.
        rebalance: what is done about unequal support: in the loss of the support.
        steps: gradient steps, 0 or more, and their rate, above 0, as (steps, rate).
        cosine: Baseline++.
        scale: of the cosines, above 0.

    Raises:
        ArgumentError: a value out of range.

    Reference:
        Chen, Liu, Kira, Wang, Huang: A closer look at few-shot classification, ICLR 2019.

    Departures:
        The papers take minibatches of 4, with a mean over each; in a minibatch of one class its weight cancels, so that
        weighted losses would do nothing there. Here every step takes the whole support. Momentum has no dampening of 0.9,
        which only divides the rate by 10.

    Example:
        >>> learner = Baseline(nn.Identity(), nn.Linear(2, 3), steps=(50, 0.1)).eval()
        >>> episode = Episode(torch.eye(2), torch.tensor([0, 1]), torch.eye(2), way=2)
        >>> learner(episode).logits.argmax(1)
        tensor([0, 1])
    """

    allowed = ("none", "ros", "ros-plus", "weighted", "focal", "cb")

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        rebalance: Rebalance | None = None,
        *,
        steps: tuple[int, float] = (100, 0.01),
        cosine: bool = False,
        scale: float = 2.0,
    ) -> None:
        super().__init__(backbone, head, rebalance)
        for name, value, fine, expected in (
            ("finetune_steps", steps[0], steps[0] >= 0, "0 or more"),
            ("finetune_lr", steps[1], 0 < steps[1] < float("inf"), "above 0"),
            ("scale", scale, 0 < scale < float("inf"), "above 0"),
        ):
            if not fine:
                raise ArgumentError(name, expected, value)
        self.steps, self.rate, self.cosine, self.scale = steps[0], steps[1], cosine, scale

    def score(self, episode: Episode) -> Scored:
        """Fit a classifier to the support and label the queries."""
        support, query = self.embedded(episode)
        with torch.enable_grad():
            weight, bias = self.fitted(support.detach(), episode)
        return Scored(self._logits(query, weight, bias), query)

    def fitted(self, features: Tensor, episode: Episode) -> tuple[Tensor, Tensor]:
        """Weight `[way, d]` and bias `[way]` after the steps; the bias of cosines stays 0."""
        treatment = self.rebalance if self.rebalance.acts(self.training) else Rebalance()
        drawn = torch.rand(episode.way, features.shape[1], generator=generator(episode.seed, "finetune")).to(features)
        bound = features.shape[1] ** -0.5
        params = [(2 * drawn - 1) * bound, features.new_zeros(episode.way)]
        speeds = [torch.zeros_like(value) for value in params]
        for _ in range(self.steps):
            params = [value.detach().requires_grad_() for value in params]
            loss = treatment.loss(self._logits(features, params[0], params[1]), episode.target, episode.counts)
            grads = torch.autograd.grad(loss, params, allow_unused=True)
            for number, (value, grad) in enumerate(zip(params, grads, strict=True)):
                if grad is not None:
                    speeds[number] = MOMENTUM * speeds[number] + grad + WEIGHT_DECAY * value.detach()
            params = [value.detach() - self.rate * speed for value, speed in zip(params, speeds, strict=True)]
        return params[0].detach(), params[1].detach()

    def _logits(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if self.cosine:
            return self.scale * _unit(features) @ _unit(weight).T
        return features @ weight.T + bias


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.square().sum(-1, keepdim=True).clamp_min(FLOOR**2).sqrt()
