"""What a loss is: a value per row that sees the graph; reduced only where the caller asks.

A new loss subclasses `Loss` and implements `rows(logits [N, C], target [N], **context) -> [N]`. What must be
differentiated through (focal factors, margins) is a loss; what must not is a weighting.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError

REDUCTIONS = ("mean", "sum", "none")


class Loss(nn.Module, ABC):
    """A loss used as in PyTorch: `loss(logits [N, C], target [N])`.

    Args:
        reduction: `"mean"` (over rows), `"sum"`, or `"none"` for the values `[N]`.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ArgumentError("reduction", "'mean', 'sum' or 'none'", repr(reduction))
        self.reduction = reduction

    @abstractmethod
    def rows(self, logits: Tensor, target: Tensor, **context: Any) -> Tensor:
        """The loss of each row `[N]`. Context a loss does not need is swallowed by `**_`."""

    def forward(self, logits: Tensor, target: Tensor, **context: Any) -> Tensor:
        """Reduced loss: a scalar, or `[N]` with `reduction="none"`."""
        values = self.rows(logits, target, **context)
        if self.reduction == "mean":
            return values.mean()
        return values.sum() if self.reduction == "sum" else values

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        return f"reduction={self.reduction!r}"


class CrossEntropy(Loss):
    """Softmax cross-entropy, `-log softmax(z)_y`: the identity element of losses.

    Example:
        >>> CrossEntropy()(torch.zeros(1, 2), torch.tensor([0])).item()  # log 2
        0.6931471824645996
    """

    def rows(self, logits: Tensor, target: Tensor, **_: Any) -> Tensor:
        """`-log softmax(z)_y`, `[N]`."""
        return F.cross_entropy(upcast(logits), target, reduction="none")


def upcast(logits: Tensor) -> Tensor:
    """Half-precision logits as float32; float32 and float64 unchanged. Every loss starts with this."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def check_classes(logits: Tensor, classes: int) -> None:
    """Refuse logits whose number of columns is not the number of classes the loss was built for."""
    if logits.ndim != 2 or logits.shape[1] != classes:
        raise ArgumentError("logits", f"of shape [N, {classes}], one column a class of class_counts", list(logits.shape))
