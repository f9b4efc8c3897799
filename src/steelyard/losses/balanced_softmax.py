"""Balanced Softmax."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from steelyard.core.counts import CountsLike, prior
from steelyard.core.loss import Loss, as_rows
from steelyard.numeric.nll import affine_nll
from steelyard.numeric.precision import as_table


class BalancedSoftmax(Loss):
    """Cross-entropy of a softmax in which each class is as likely beforehand as it is frequent.

    Formula:
        `L = -log( n_y exp(z_y) / sum_j n_j exp(z_j) )`; decide by `argmax z`

    This is `LogitAdjusted` with tau = 1.

    Args:
        class_counts: training rows a class `[C]`; a class never seen counts as one row.
        reduction: "mean", "sum" or "none".

    Shape:
        logits `[N, C]`, target `[N]`, values `[N]`.

    Raises:
        ArgumentError: class_counts are no class sizes, or logits do not have C columns.

    Reference:
        Ren, Yu, Sheng, Ma, Zhao, Yi, Li, Balanced meta-softmax for long-tailed visual recognition, NeurIPS 2020.

    Departures:
        Priors in the place of counts: the same value, better rounded. No meta-learnt sampler; this is the loss alone.

    Example:
        >>> import torch
        >>> BalancedSoftmax([90, 10])(torch.zeros(1, 2), torch.tensor([1]))  # -log 0.1
        tensor(2.3026)
    """

    shift: Tensor

    def __init__(self, class_counts: CountsLike, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("shift", as_table(prior(class_counts).log()))

    def rows(self, logits: Tensor, target: Tensor, **_: Any) -> Tensor:
        """`-log softmax(z + log n)_y`, `[N]`."""
        logits, target = as_rows(logits, target, self.shift.shape[0])
        return affine_nll(logits, target, shift=self.shift.to(logits.dtype))

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        return f"classes={self.shift.shape[0]}, {super().extra_repr()}"
