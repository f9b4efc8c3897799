"""Losses of pytorch-metric-learning as losses of rows."""

from __future__ import annotations

import importlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.errors import ArgumentError, CombinationError, SteelyardError
from steelyard.core.loss import Loss, as_rows

LOSSES = {
    "triplet": "TripletMarginLoss",
    "contrastive": "ContrastiveLoss",
    "multi-similarity": "MultiSimilarityLoss",
    "circle": "CircleLoss",
    "ntxent": "NTXentLoss",
    "supcon": "SupConLoss",
    "lifted": "LiftedStructureLoss",
}
"""Names, and the classes of the library: losses of pairs and triplets, without parameters of their own."""


def pair_loss(name: str) -> Any:
    """A loss of pytorch-metric-learning that gives its parts.

    Raises:
        ArgumentError: no such loss.
        SteelyardError: the library is missing.
    """
    if name not in LOSSES:
        raise ArgumentError("loss", " or ".join(LOSSES), repr(name))
    try:
        losses, reducers = (importlib.import_module(f"pytorch_metric_learning.{part}") for part in ("losses", "reducers"))
    except ImportError:
        raise SteelyardError("losses of pairs need pytorch-metric-learning: install 'steelyard[metric]'") from None
    return getattr(losses, LOSSES[name])(reducer=reducers.DoNothingReducer())


class EmbeddingLoss(Loss):
    """Cross-entropy of the classifier, and a loss of pairs or triplets of embeddings.

    Formula:
        `L_i = softmax CE(z_i, y_i) + weight mean over the parts that i is the anchor of`

    Args:
        name: of the loss of pairs, see `LOSSES`.
        weight: of it, 0 or more.
        softmax: of the cross-entropy, 0 or more.

    Shape:
        logits `[N, C]`, target `[N]` and features `[N, d]`, to values `[N]`.

    Raises:
        CombinationError: the rows have no features.
    """

    def __init__(self, name: str, weight: float = 1.0, softmax: float = 1.0) -> None:
        super().__init__()
        for argument, value in (("weight", weight), ("softmax", softmax)):
            if not 0 <= value < float("inf"):
                raise ArgumentError(argument, "a finite number, 0 or more", value)
        if weight == softmax == 0:
            raise ArgumentError("weight", "above 0 where softmax is 0", weight)
        self.name, self.weight, self.softmax = name, float(weight), float(softmax)
        self.pairs = pair_loss(name)

    def rows(self, logits: Tensor, target: Tensor, *, features: Tensor | None = None, **_: Any) -> Tensor:
        """The loss of each row `[N]`."""
        logits, target = as_rows(logits, target)
        if features is None:
            raise CombinationError(
                "a loss of pairs compares embeddings, and these rows have no features: end the model in an nn.Linear"
            )
        values = self.softmax * F.cross_entropy(logits, target, reduction="none")
        for part in self.pairs(features.to(logits.dtype), target).values():
            values = values + self.weight * by_anchor(part, len(target), logits)
        return values

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        return f"pairs={self.name!r}, weight={self.weight}, softmax={self.softmax}"


def by_anchor(part: dict[str, Any], rows: int, like: Tensor) -> Tensor:
    """Mean over the entries that each row is the anchor of `[N]`; 0 for a row that is none's.

    Args:
        part: "losses", "indices" and "reduction_type" of the library's reducer.
        rows: N.
        like: for dtype and device.
    """
    losses, indices = part["losses"], part["indices"]
    total = torch.zeros(rows, dtype=like.dtype, device=like.device)
    if not torch.is_tensor(losses) or losses.numel() == 0:  # there was no such pair in the batch
        return total
    anchors = indices if torch.is_tensor(indices) else indices[0]
    values = losses.reshape(-1).to(like.dtype)
    count = torch.zeros_like(total).index_add(0, anchors, torch.ones_like(values))
    return total.index_add(0, anchors, values) / count.clamp_min(1)
