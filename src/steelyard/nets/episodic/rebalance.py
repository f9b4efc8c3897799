"""What can be done about classes of an episode with unequal support: oversampling, and losses that weigh classes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.seeds import generator
from steelyard.nets.episodic.vary import varied

if TYPE_CHECKING:
    from steelyard.nets.episodic.episode import Episode

KINDS = ("none", "ros", "ros-plus", "weighted", "focal", "cb")
RESAMPLING = ("ros", "ros-plus")


@dataclass(frozen=True)
class Rebalance:
    """A treatment of unequal support.

    With n_c support rows of class c::

        ros        every class gets copies, drawn with replacement, until it has as many rows as the largest
        ros-plus   the same, and the copies (not the originals) are augmented
        weighted   w_c = 1 / n_c
        cb         w_c = (1 - beta) / (1 - beta^n_c)
        focal      (1 - p)^gamma on each row

    Args:
        kind: one of these, or "none".
        gamma: of focal, 0 or more; 0 is cross-entropy.
        beta: of cb, in [0, 1); 0 is cross-entropy, near 1 it is "weighted".
        inference_only: train without it.

    Raises:
        ArgumentError: a value out of range.

    Reference:
        Ochal et al.: Few-shot learning with class imbalance, IEEE Transactions on Artificial Intelligence 4(5), 2023; Cui et
        al.: Class-balanced loss based on effective number of samples, CVPR 2019 (cb); Lin et al.: Focal loss for dense object
        detection, ICCV 2017.

    Departures:
        Released code has beta = 2 by default, outside [0, 1), and sums the focal loss over rows where it averages
        cross-entropy, which multiplies an inner step by the size of the support; here beta is checked and all losses are means.

    Example:
        >>> Rebalance("cb", beta=0.8).class_weights(torch.tensor([1, 3, 9])).div(1.0).numpy().round(2).tolist()
        [1.0, 0.41, 0.23]
    """

    kind: str = "none"
    gamma: float = 2.0
    beta: float = 0.8
    inference_only: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ArgumentError("rebalance", " or ".join(KINDS), repr(self.kind))
        if not (math.isfinite(self.gamma) and self.gamma >= 0):
            raise ArgumentError("gamma", "a finite number, 0 or more", self.gamma)
        if not 0 <= self.beta < 1:
            raise ArgumentError("beta", "in [0, 1), as (1 - beta^n) / (1 - beta) counts rows", self.beta)

    def acts(self, training: bool) -> bool:
        """Is it used now?"""
        return not (self.inference_only and training)

    def class_weights(self, counts: Tensor) -> Tensor:
        """Weight of each class `[..., way]` for support counts of that shape; not normalised."""
        n = counts.double()
        if self.kind == "weighted":
            return 1 / n
        if self.kind == "cb":
            return (1 - self.beta) / (1 - self.beta**n)
        return torch.ones_like(n)

    def row_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of each row `[N]` before class weights: cross-entropy, or the focal loss."""
        plain = F.cross_entropy(logits, target, reduction="none")
        if self.kind != "focal" or self.gamma == 0:
            return plain
        rest = -torch.expm1(-plain)  # 1 - p, exact where p is near 1
        return rest.clamp_min(1e-12) ** self.gamma * plain

    def loss(self, logits: Tensor, target: Tensor, counts: Tensor) -> Tensor:
        """`sum w l / sum w` over rows, a scalar; for "weighted" the mean over classes of their mean cross-entropy."""
        weights = self.class_weights(counts).to(logits.dtype)[target]
        return (weights * self.row_losses(logits, target)).sum() / weights.sum()

    def resampled(self, episode: Episode) -> Episode:
        """The episode with as many support rows in every class, where the kind is one that oversamples.

        Raises:
            CombinationError: ros-plus, and the inputs are no images.
        """
        if self.kind not in RESAMPLING:
            return episode
        rows = copies(episode.target.cpu(), episode.way, generator(episode.seed, "ros")).to(episode.target.device)
        extra = episode.support[rows]
        if self.kind == "ros-plus":
            if episode.black is None:
                raise CombinationError("rebalance=ros-plus augments images, and these inputs are none: use rebalance=ros")
            extra = varied(extra, episode.black, generator(episode.seed, "ros-plus"))
        return dataclasses.replace(
            episode,
            support=torch.cat([episode.support, extra]),
            target=torch.cat([episode.target, episode.target[rows]]),
        )


def copies(target: Tensor, way: int, draws: torch.Generator | None = None) -> Tensor:
    """Which rows to repeat so that every class has as many as the largest.

    With replacement, the mean of a class of n rows and N - n copies has the class's own mean as expectation and the variance
    `(N - n) / N^2 tr(Cov)`: oversampling is no identity for prototypes unless a class has one row.

    Args:
        target: labels `[S]`, on the CPU.
        way: number of labels.
        draws: drawn from with replacement; None repeats the rows in turn, which leaves means as they are where n divides N.

    Returns:
        Row numbers `[way * n_max - S]`, by class.

    Example:
        >>> copies(torch.tensor([0, 1, 1, 1, 1]), 2).tolist()
        [0, 0, 0]
    """
    counts = torch.bincount(target, minlength=way)
    most, found = int(counts.max()), list[Tensor]()
    for label, count in enumerate(counts.tolist()):
        rows, missing = (target == label).nonzero().flatten(), most - count
        place = torch.arange(missing) % count if draws is None else torch.randint(count, (missing,), generator=draws)
        found.append(rows[place])
    return torch.cat(found)
