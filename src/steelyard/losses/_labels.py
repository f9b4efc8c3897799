"""What losses of several labels an example share: shapes, labels that are not known, and the mean over labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.loss import Reduced, upcast


class LabelLoss(Reduced, ABC):
    """A loss of log-odds `[N, L]` and labels `[N, L]`.

    Args:
        reduction: "mean" over known labels of all examples, "sum" over them, or "none" for the values `[N, L]`.
    """

    @abstractmethod
    def entries(self, logits: Tensor, target: Tensor, label_sets: Tensor) -> Tensor:
        """The loss of each label of each example `[N, L]`.

        Args:
            logits: log-odds `[N, L]`, float32 or float64.
            target: 0 and 1 `[N, L]`, in the dtype of the logits.
            label_sets: what labels each example has `[N, L]`; the target itself, but where labels were mixed.
        """

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Reduced loss: a scalar, or `[N, L]` with `reduction="none"`, where a label that is not known (NaN) has loss 0."""
        logits, target = as_label_rows(logits, target)
        known = ~target.isnan()
        labels = target.nan_to_num(0.0)
        values = torch.where(known, self.entries(logits, labels, labels), 0.0)
        return self.reduced(values, known)


def as_label_rows(logits: Tensor, target: Any) -> tuple[Tensor, Tensor]:
    """Log-odds `[N, L]` in at least float32, and labels `[N, L]` in their dtype.

    Raises:
        ArgumentError: wrong shapes, logits that are no floating-point numbers, or (looked at on the CPU only) labels other than
            0, 1 and NaN.
    """
    if logits.ndim != 2 or not logits.is_floating_point():
        raise ArgumentError("logits", "log-odds of shape [N, L], one a label", f"{logits.dtype} of shape {list(logits.shape)}")
    if target.shape != logits.shape:
        raise ArgumentError("target", f"0 and 1 of shape {list(logits.shape)}", f"shape {list(target.shape)}")
    logits = upcast(logits)
    target = target.to(logits.dtype)
    if target.device.type == "cpu" and not torch.compiler.is_compiling():
        odd = target[~((target == 0) | (target == 1) | target.isnan())]
        if odd.numel():
            raise ArgumentError("target", "0, 1, or NaN where a label is not known", f"{float(odd[0]):g}")
    return logits, target
