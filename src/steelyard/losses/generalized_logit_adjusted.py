"""Logit adjustment in the general cross-entropy family."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from steelyard.core.counts import CountsLike, prior
from steelyard.core.loss import Loss, as_rows
from steelyard.losses._checks import check_number
from steelyard.numeric.nll import affine_nll
from steelyard.numeric.precision import as_table
from steelyard.numeric.psi import generalized

SEARCH = {"q": "0..0.7"}


class GeneralizedLogitAdjusted(Loss):
    """Logit adjustment whose loss is bounded, so that rows which cannot be right pull less.

    Formula:
        `L = Psi_q(u)`, `u = softmax(z + tau log pi)_y`, `Psi_q(u) = (1 - u^q) / q`, `Psi_0(u) = -log u`; decide by `argmax z`

    The gradient is that of logit adjustment times `u^q`. It vanishes on rows that are badly wrong, so training from scratch
    with many classes and a large q may stall: begin with q = 0.

    Args:
        class_counts: training rows a class `[C]`; a class never seen counts as one row.
        q: in [0, 1); 0 is `LogitAdjusted`, towards 1 the mean absolute error.
        tau: strength, any finite number; None is `1 / (1 - q)`, the only value that is consistent for balanced accuracy.
        reduction: "mean", "sum" or "none".

    Shape:
        logits `[N, C]`, target `[N]`, values `[N]` in [0, 1/q).

    Raises:
        ArgumentError: class_counts are no class sizes, q or tau is out of range, or logits do not have C columns.

    Reference:
        Cortes, Mohri, Zhong, Improved balanced classification with theoretically grounded loss functions, NeurIPS 2025;
        Zhang, Sabuncu, Generalized cross entropy loss, NeurIPS 2018.

    Departures:
        Derived from the paper's abstract, not taken from its text, which we have not read: the shift is the only one under
        which the claimed Bayes consistency holds.

    Example:
        >>> import torch
        >>> GeneralizedLogitAdjusted([50, 50], q=0.5)(torch.zeros(1, 2), torch.tensor([0]))  # (1 - sqrt(1/2)) / 0.5
        tensor(0.5858)
    """

    shift: Tensor

    def __init__(self, class_counts: CountsLike, q: float = 0.0, tau: float | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.q = check_number("q", q, low=0, high=1, open_high=True)
        self.tau = 1 / (1 - self.q) if tau is None else check_number("tau", tau)
        self.register_buffer("shift", as_table(self.tau * prior(class_counts).log()))

    def rows(self, logits: Tensor, target: Tensor, **_: Any) -> Tensor:
        """`Psi_q(softmax(z + tau log pi)_y)`, `[N]`."""
        logits, target = as_rows(logits, target, self.shift.shape[0])
        return generalized(affine_nll(logits, target, shift=self.shift.to(logits.dtype)), self.q)

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        return f"classes={self.shift.shape[0]}, q={self.q}, tau={self.tau}, {super().extra_repr()}"
