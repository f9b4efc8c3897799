"""A classifier whose logits are cosines: normalised features, normalised weights, no bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.head import Head

FLOOR = 1e-4
"""Norms below this are treated as this, so that a row of zeros gets no huge gradient."""


class NormedLinear(Head):
    """The cosine classifier that LDAM needs: how well a feature points in the direction of each class.

    Formula:
        `z_j = <h, w_j> / (|h| |w_j|)`, in [-1, 1] up to rounding

    Args:
        in_features: size d of a feature, 1 or more.
        out_features: number of classes C, 1 or more.

    Shape:
        `[N, d]` to `[N, C]`.

    Raises:
        ArgumentError: a size is below 1.

    Reference:
        Cao et al., Learning imbalanced datasets with label-distribution-aware margin loss, NeurIPS 2019 (released code).

    Departures:
        Norms have a floor of 1e-4 instead of 1e-12: behind a ReLU a feature may be all zeros, and its gradient would be
        multiplied by the reciprocal of the floor.
        Weights are `[C, d]` and start in uniformly random directions (the released code takes a uniform cube).
        Under autocast the cosines are still computed in float32: LDAM multiplies them, and their rounding error, by 30.

    Example:
        >>> head = NormedLinear(4, 3)
        >>> head(torch.randn(5, 4)).shape
        torch.Size([5, 3])
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if size < 1:
                raise ArgumentError(name, "1 or more", size)
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Unit vectors in uniformly random directions, from torch's global generator as for every torch layer."""
        with torch.no_grad():
            self.weight.normal_()
            self.weight.copy_(_directions(self.weight))

    def forward(self, features: Tensor) -> Tensor:
        """Cosines `[N, C]`; float32 where the features are in half precision."""
        with torch.autocast(features.device.type, enabled=False):
            exact = torch.promote_types(features.dtype, torch.float32)
            return _directions(features.to(exact)) @ _directions(self.weight.to(exact)).T

    def extra_repr(self) -> str:
        """Shown by print(head)."""
        return f"in_features={self.in_features}, out_features={self.out_features}"


def _directions(rows: Tensor) -> Tensor:
    # Not F.normalize, whose second derivative at a row of zeros is NaN: descents that differentiate twice meet such rows.
    return rows / rows.square().sum(-1, keepdim=True).clamp_min(FLOOR**2).sqrt()
