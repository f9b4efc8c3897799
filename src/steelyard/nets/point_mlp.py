"""Networks of point sets: what they share, and the simplest one, which looks at each point's features alone."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError


class PointNet(nn.Module, ABC):
    """A network `(xyz [B, n, 3], features [B, n, F], asked [B, n] = None) -> logits [K, C]`.

    Row by row, the K points that are asked for; without `asked` all of them, so that K = B n and row b n + i is point i of
    set b. The mean and standard deviation of the training points' features are buffers, and so are stored with the weights.

    Args:
        features: F.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    def standardise(self, mean: Tensor, std: Tensor) -> None:
        """Take each feature in units of its standard deviation from its mean; `[F]` each, 1 for one that never changes."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    def forward(self, xyz: Tensor, features: Tensor, asked: Tensor | None = None) -> Tensor:
        """Logits `[K, C]`."""
        if xyz.ndim != 3 or xyz.shape[2] != 3 or features.shape != (*xyz.shape[:2], len(self.mean)):
            expected = f"[B, n, {len(self.mean)}] for xyz [B, n, 3]"
            raise ArgumentError("features", expected, f"{list(features.shape)} for {list(xyz.shape)}")
        embedded = self.embed(xyz, (features - self.mean) / self.std)
        rows = embedded.flatten(0, 1) if asked is None else embedded[asked]
        logits: Tensor = self.head(rows)
        return logits

    @abstractmethod
    def embed(self, xyz: Tensor, features: Tensor) -> Tensor:
        """What the classifier `self.head` gets of each point `[B, n, d]`."""

    head: nn.Module


class PointMLP(PointNet):
    """Each point by its features alone, without its neighbours: the control for networks that look around.

    Args:
        num_classes: C.
        features: F.
        hidden: widths of the layers.

    Example:
        >>> PointMLP(2, 12)(torch.zeros(4, 100, 3), torch.zeros(4, 100, 12)).shape
        torch.Size([400, 2])
    """

    def __init__(self, num_classes: int, features: int, *, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__(features)
        widths = [features, *hidden]
        layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU())]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], num_classes)

    def embed(self, xyz: Tensor, features: Tensor) -> Tensor:
        """Hidden units of each point `[B, n, d]`."""
        hidden: Tensor = self.body(features.flatten(0, 1)).reshape(*xyz.shape[:2], -1)
        return hidden
