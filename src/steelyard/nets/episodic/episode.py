"""An episode as a network sees it, what it answers, and the base of all few-shot learners."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, CombinationError, DataError
from steelyard.nets.episodic.rebalance import Rebalance


@dataclass(frozen=True)
class Episode:
    """A few-shot task: labelled support, and queries to be labelled.

    Attributes:
        support: inputs `[S, ...]`.
        target: label of each support row `[S]`, 0..way-1.
        query: inputs `[Q, ...]`.
        way: number of labels.
        seed: of whatever a learner draws.
        black: what a black pixel is after normalisation `[C]`, for augmentation; None where inputs are no images.
        answers: labels of the queries `[Q]`, for learners that train on more than the loss of each query; None in evaluation.

    Raises:
        ArgumentError: not one label for each support row.
        DataError: a label has no support row.
    """

    support: Tensor
    target: Tensor
    query: Tensor
    way: int
    seed: int = 0
    black: Tensor | None = None
    answers: Tensor | None = None

    def __post_init__(self) -> None:
        if self.target.shape != self.support.shape[:1]:
            raise ArgumentError("target", f"a label for each support row [{len(self.support)}]", list(self.target.shape))
        counts = self.counts
        if len(counts) > self.way or (self.target.device.type == "cpu" and bool((counts == 0).any())):
            lacking = (counts == 0).nonzero().flatten().tolist()
            what = f"label {lacking[0]} has none" if lacking else f"there is a label {len(counts) - 1}"
            raise DataError(f"each of the {self.way} classes of an episode needs a support example, and {what}")

    @property
    def counts(self) -> Tensor:
        """Support rows of each label `[way]`."""
        return torch.bincount(self.target, minlength=self.way)

    @property
    def one_hot(self) -> Tensor:
        """Membership `[S, way]`, float32."""
        return torch.nn.functional.one_hot(self.target, self.way).float()


@dataclass(frozen=True)
class Scored:
    """What a learner says of the queries of an episode.

    Attributes:
        logits: `[Q, way]`.
        features: of the queries `[Q, d]`.
        penalty: what the learner's own objective adds to the loss of each query, a scalar; None for nothing.
    """

    logits: Tensor
    features: Tensor
    penalty: Tensor | None = None


class FewShotLearner(nn.Module, ABC):
    """A network that labels the queries of an episode from its support.

    Args:
        backbone: inputs `[N, ...]` to features `[N, d]`.
        rebalance: what is done about unequal support; None for nothing.
    """

    allowed: tuple[str, ...] = ("none", "ros", "ros-plus", "weighted", "focal", "cb")
    """Kinds of `Rebalance` that have something to act on."""

    def __init__(self, backbone: nn.Module, rebalance: Rebalance | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.rebalance = Rebalance() if rebalance is None else rebalance
        if self.rebalance.kind not in self.allowed:
            raise CombinationError(
                f"rebalance={self.rebalance.kind} would change nothing in {type(self).__name__}, which takes no loss of its "
                f"support: use {', '.join(self.allowed[:-1])} or {self.allowed[-1]}"
            )

    def forward(self, given: Any) -> Any:
        """An `Episode` gives `Scored`; several give logits by rank (see `by_rank`); inputs alone give class logits.

        The last is for learners that are trained on classes first.
        """
        if isinstance(given, tuple):
            return torch.cat([by_rank(self(episode), episode).logits for episode in given])
        if isinstance(given, Episode):
            acting = self.rebalance.acts(self.training)
            return self.score(self.rebalance.resampled(given) if acting else given)
        return self.classify(given)

    @abstractmethod
    def score(self, episode: Episode) -> Scored:
        """Label the queries; the support is resampled already."""

    def classify(self, inputs: Tensor) -> Tensor:
        """Logits `[N, C]` over training classes.

        Raises:
            CombinationError: the learner is trained on episodes only.
        """
        raise CombinationError(f"{type(self).__name__} learns from episodes, not from single images")

    def embedded(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """Features of support `[S, d]` and queries `[Q, d]`, from one pass."""
        features = self.backbone(torch.cat([episode.support, episode.query]))
        return features[: len(episode.support)], features[len(episode.support) :]


def ranks(episode: Episode) -> Tensor:
    """Labels from the one with most support to the one with least `[way]`; equal ones stay in order."""
    return torch.sort(episode.counts, descending=True, stable=True).indices


def by_rank(scored: Scored, episode: Episode) -> Scored:
    """The same scores with columns in the order of `ranks`: column 0 is the class with most support."""
    return dataclasses.replace(scored, logits=scored.logits[:, ranks(episode)])


def class_means(features: Tensor, episode: Episode) -> Tensor:
    """Mean feature of each label's support `[way, d]`."""
    members = episode.one_hot.to(features.dtype)
    means: Tensor = (members.T @ features) / members.sum(0).unsqueeze(1)
    return means


def squared_distances(queries: Tensor, points: Tensor) -> Tensor:
    """`|q - p|^2` of all pairs `[Q, P]`."""
    return (queries.unsqueeze(1) - points.unsqueeze(0)).square().sum(-1)
