"""A classifier that decides for the class whose mean is nearest."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from steelyard.core.counts import CountsLike, as_counts
from steelyard.core.errors import ArgumentError
from steelyard.core.head import Head

DISTANCES = ("cosine", "l2")


class NearestMean(Head):
    """Score classes by how near their mean is: no class has a larger weight vector than another.

    Formula:
        `z_c = -|h - m_c|^2 / (2 v)` up to a term that all classes share; for "cosine" with `h / |h|` and `m_c / |m_c|`. These
        are the posteriors of Gaussians with equal variance `v` and equal priors. `log v` is a parameter: it can be learnt, and
        changes no decision.

    Args:
        means: mean feature of each class `[C, d]`.
        class_counts: rows behind each mean `[C]`; a class without rows never has the highest score.
        distance: "cosine" or "l2".
        variance: v, above 0.

    Shape:
        features `[N, d]` to scores `[N, C]`, at least float32.

    Raises:
        ArgumentError: shapes do not match, an unknown distance, or a variance that is not above 0.

    Reference:
        Mensink, Verbeek, Perronnin, Csurka: Distance-based image classification: generalizing to new classes at near-zero cost,
        TPAMI 2013; for long tails Kang et al.: Decoupling representation and classifier for long-tailed recognition, ICLR 2020.

    Example:
        >>> head = NearestMean(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), [90, 10], distance="l2")
        >>> head(torch.tensor([[0.2, 0.9]])).argmax(1)
        tensor([1])
    """

    means: Tensor
    seen: Tensor

    def __init__(
        self,
        means: Tensor,
        class_counts: CountsLike,
        *,
        distance: Literal["cosine", "l2"] = "cosine",
        variance: float = 1.0,
    ) -> None:
        super().__init__()
        counts = as_counts(class_counts)
        if means.ndim != 2 or len(means) != len(counts):
            raise ArgumentError("means", f"a mean for each of the {len(counts)} classes, [C, d]", f"shape {list(means.shape)}")
        if distance not in DISTANCES:
            raise ArgumentError("distance", " or ".join(map(repr, DISTANCES)), repr(distance))
        if not (math.isfinite(variance) and variance > 0):
            raise ArgumentError("variance", "a finite number above 0", variance)
        self.out_features, self.in_features = means.shape
        self.distance = distance
        means = means.detach()
        self.register_buffer("means", nn.functional.normalize(means, dim=1) if distance == "cosine" else means.clone())
        self.register_buffer("seen", counts.to(means.device) > 0)
        self.log_variance = nn.Parameter(torch.tensor(math.log(variance), device=means.device, dtype=means.dtype))

    def forward(self, features: Tensor) -> Tensor:
        """Scores `[N, C]`; float32 where the features are in half precision."""
        with torch.autocast(features.device.type, enabled=False):
            exact = torch.promote_types(features.dtype, torch.float32)
            features, means = features.to(exact), self.means.to(exact)
            if self.distance == "cosine":
                features = nn.functional.normalize(features, dim=1)
            scores = (features @ means.T - means.square().sum(1) / 2) * torch.exp(-self.log_variance.to(exact))
            lowest = scores.masked_fill(~self.seen, torch.inf).amin(1, keepdim=True)
            return torch.where(self.seen, scores, lowest - 1)

    def extra_repr(self) -> str:
        """Shown by print(head)."""
        return f"in_features={self.in_features}, out_features={self.out_features}, distance={self.distance}"
