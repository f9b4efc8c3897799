"""Logit adjustment in the loss."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from steelyard.core.counts import CountsLike, prior
from steelyard.core.loss import Loss, as_rows
from steelyard.losses._checks import check_number
from steelyard.numeric.nll import affine_nll
from steelyard.numeric.precision import as_table

SEARCH = {"tau": "0.5..2"}


class LogitAdjusted(Loss):
    """Cross-entropy with the class priors in the logits, so that the logits themselves learn to be balanced.

    Formula:
        `L = -log softmax(z + tau log pi)_y`, `pi_c = n_c / N`; decide by `argmax z`, without the shift

    Args:
        class_counts: training rows a class `[C]`; a class never seen counts as one row.
        tau: strength, any finite number; 1 is consistent for balanced accuracy, 0 is cross-entropy.
        reduction: "mean", "sum" or "none".

    Shape:
        logits `[N, C]`, target `[N]`, values `[N]`.

    Raises:
        ArgumentError: class_counts are no class sizes, tau is not finite, or logits do not have C columns.

    Reference:
        Menon, Jayasumana, Rawat, Jain, Veit, Kumar, Long-tail learning via logit adjustment, ICLR 2021.

    Departures:
        `tau log pi` where the released code takes `log(pi^tau + 1e-12)`.

    Example:
        >>> import torch
        >>> LogitAdjusted([90, 10])(torch.zeros(1, 2), torch.tensor([0]))  # -log 0.9
        tensor(0.1054)
    """

    shift: Tensor

    def __init__(self, class_counts: CountsLike, tau: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.tau = check_number("tau", tau)
        self.register_buffer("shift", as_table(self.tau * prior(class_counts).log()))

    def rows(self, logits: Tensor, target: Tensor, **_: Any) -> Tensor:
        """`-log softmax(z + tau log pi)_y`, `[N]`."""
        logits, target = as_rows(logits, target, self.shift.shape[0])
        return affine_nll(logits, target, shift=self.shift.to(logits.dtype))

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        return f"classes={self.shift.shape[0]}, tau={self.tau}, {super().extra_repr()}"
