"""Asymmetric loss for several labels an example."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.losses._checks import check_number
from steelyard.losses._labels import LabelLoss
from steelyard.numeric.psi import focal

LEAST = 1e-8
"""Smallest probability that is taken to a power, so that powers below 1 keep finite derivatives."""


class Asymmetric(LabelLoss):
    """Binary cross-entropy a label that counts easy absences for next to nothing.

    Formula:
        present: `-(1 - p)^g_pos log p`; absent: `-q^g_neg log(1 - q)` with `q = max(p - margin, 0)`, `p = sigmoid(z)`

    Most labels are absent in most examples, and such easy entries would drown the few that are present. An absence that is
    scored below `margin` has loss 0.

    Args:
        gamma_neg: how fast easy absences fade, 0 or more.
        gamma_pos: how fast easy presences fade, 0 or more. With both 0 and no margin it is binary cross-entropy.
        margin: probability up to which an absence costs nothing, in [0, 1).
        reduction: "mean" over known labels, "sum" or "none".

    Shape:
        log-odds `[N, L]`, labels `[N, L]` (0, 1, or NaN where not known), values `[N, L]`.

    Raises:
        ArgumentError: a number out of range, or shapes that do not fit.

    Reference:
        Ridnik, Ben-Baruch, Zamir, Noy, Friedman, Protter, Zelnik-Manor: Asymmetric loss for multi-label classification,
        ICCV 2021.

    Departures:
        `gamma_pos` is 0 as in the paper's experiments (1 by default in released code). The factors are differentiated, which
        the released code can switch off. The mean over labels; released code sums.

    Example:
        >>> Asymmetric(gamma_neg=2.0, margin=0.0)(torch.zeros(1, 2), torch.tensor([[1, 0]]))  # (log 2 + log(2) / 4) / 2
        tensor(0.4332)
    """

    def __init__(self, gamma_neg: float = 4.0, gamma_pos: float = 0.0, margin: float = 0.05, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.gamma_neg = check_number("gamma_neg", gamma_neg, low=0)
        self.gamma_pos = check_number("gamma_pos", gamma_pos, low=0)
        self.margin = check_number("margin", margin, low=0, high=1, open_high=True)

    def entries(self, logits: Tensor, target: Tensor, label_sets: Tensor) -> Tensor:
        """The loss of each label of each example `[N, L]`."""
        present = focal(F.softplus(-logits), self.gamma_pos)
        if self.margin == 0:
            absent = focal(F.softplus(logits), self.gamma_neg)
        else:
            q = (torch.sigmoid(logits) - self.margin).clamp_min(0)
            absent = -torch.log1p(-q)
            if self.gamma_neg > 0:
                absent = absent * q.clamp_min(LEAST) ** self.gamma_neg
        return torch.where(target == 1, present, absent)

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        own = f"gamma_neg={self.gamma_neg}, gamma_pos={self.gamma_pos}, margin={self.margin}"
        return f"{own}, {super().extra_repr()}"
