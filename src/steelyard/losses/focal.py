"""Focal loss."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from steelyard.core.loss import Loss, as_rows
from steelyard.losses._checks import check_number
from steelyard.numeric.nll import affine_nll
from steelyard.numeric.psi import focal

SEARCH = {"gamma": "0.5..5"}


class Focal(Loss):
    """Cross-entropy that counts rows which are already right for less.

    Formula:
        `L = -(1 - p_y)^gamma log p_y`, `p = softmax(z)`

    Args:
        gamma: how fast well-classified rows fade, 0 or more; 0 is cross-entropy.
        reduction: "mean", "sum" or "none".

    Shape:
        logits `[N, C]`, target `[N]`, values `[N]`.

    Raises:
        ArgumentError: gamma is negative or not finite; logits or target have another shape.

    Reference:
        Lin, Goyal, Girshick, He, Dollar, Focal loss for dense object detection, ICCV 2017.

    Departures:
        The softmax form of the long-tailed literature; the paper's is one sigmoid a class with a factor alpha.
        `p_y` is the probability itself also where class weights are used (they multiply afterwards, in the objective); the
        LDAM-DRW code takes it from the weighted cross-entropy.

    Example:
        >>> import torch
        >>> Focal(gamma=2.0)(torch.zeros(1, 2), torch.tensor([0]))  # log(2) / 4
        tensor(0.1733)
    """

    def __init__(self, gamma: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.gamma = check_number("gamma", gamma, low=0)

    def rows(self, logits: Tensor, target: Tensor, **_: Any) -> Tensor:
        """`-(1 - p_y)^gamma log p_y`, `[N]`."""
        logits, target = as_rows(logits, target)
        return focal(affine_nll(logits, target), self.gamma)

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        return f"gamma={self.gamma}, {super().extra_repr()}"
