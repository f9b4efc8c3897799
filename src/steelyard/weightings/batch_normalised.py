"""Weights with mean 1 in each batch."""

from __future__ import annotations

from torch import Tensor

from steelyard.core.rows import Evidence
from steelyard.core.weighting import Weighting, check_weighting
from steelyard.numeric.normalise import over_batch


class BatchNormalised(Weighting):
    """Another weighting's weights, rescaled in each batch to mean 1: torch's convention for `weight=` with a mean.

    Formula:
        `w_i / (sum_k s_k w_k / sum_k s_k)`, s the shares

    `F.cross_entropy(weight=w)` divides by the sum of the weights in the batch; the package's objective divides by the number
    of rows. With this wrapper the objective does what torch does. The size of the loss then does not depend on the classes in
    the batch, and a batch without rare classes weighs as much as one with them.

    Args:
        weighting: any weighting.

    Example:
        >>> import torch
        >>> from steelyard.weightings import InverseFrequency
        >>> weigh = BatchNormalised(InverseFrequency([90, 10]))
        >>> weigh(Evidence(target=torch.tensor([0, 0, 0])))
        tensor([1., 1., 1.])
    """

    def __init__(self, weighting: Weighting) -> None:
        super().__init__()
        self.weighting = check_weighting(weighting)

    def forward(self, evidence: Evidence) -> Tensor:
        """Weights `[N]` with share-weighted mean 1; all 0 where the batch's weights are."""
        return over_batch(self.weighting(evidence), evidence.share)
