"""What a loss is: a value per row that sees the graph; reduced only where the caller asks.

A new loss subclasses `Loss` and implements `rows(logits [N, C], target [N], **context) -> [N]`. What must be
differentiated through (focal factors, margins) is a loss; what must not is a weighting.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.numeric.nll import cross_entropy

REDUCTIONS = ("mean", "sum", "none")


class Reduced(nn.Module):
    """What losses of rows and losses of labels share: how many values become one.

    Args:
        reduction: "mean", "sum" or "none".

    Raises:
        ArgumentError: another one.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ArgumentError("reduction", "'mean', 'sum' or 'none'", repr(reduction))
        self.reduction = reduction

    def reduced(self, values: Tensor, known: Tensor | None = None) -> Tensor:
        """The values as `reduction` says; a mean counts those that are `known`, where others are 0."""
        if self.reduction == "mean":
            return values.mean() if known is None else values.sum() / known.sum().clamp_min(1)
        return values.sum() if self.reduction == "sum" else values

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        return f"reduction={self.reduction!r}"


class Loss(Reduced, ABC):
    """A loss used as in PyTorch: `loss(logits [N, C], target [N])`.

    Args:
        reduction: `"mean"` (over rows), `"sum"`, or `"none"` for the values `[N]`.
    """

    @abstractmethod
    def rows(self, logits: Tensor, target: Tensor, **context: Any) -> Tensor:
        """The loss of each row `[N]`. Context a loss does not need is swallowed by `**_`."""

    def parts(self, logits: Tensor, target: Tensor, **context: Any) -> tuple[Tensor, Tensor | None]:
        """What a weighting weighs, and what it leaves alone (None for nothing), `[N]` each; together they are `rows`."""
        return self.rows(logits, target, **context), None

    def forward(self, logits: Tensor, target: Tensor, **context: Any) -> Tensor:
        """Reduced loss: a scalar, or `[N]` with `reduction="none"`."""
        return self.reduced(self.rows(logits, target, **context))


class CrossEntropy(Loss):
    """Softmax cross-entropy, `-log softmax(z)_y`: the identity element of losses.

    Example:
        >>> CrossEntropy()(torch.zeros(1, 2), torch.tensor([0])).item()  # log 2
        0.6931471824645996
    """

    def rows(self, logits: Tensor, target: Tensor, **_: Any) -> Tensor:
        """`-log softmax(z)_y`, `[N]`."""
        logits, target = as_rows(logits, target)
        return cross_entropy(logits, target)


def as_rows(logits: Tensor, target: Tensor, classes: int | None = None) -> tuple[Tensor, Tensor]:
    """Logits `[N, C]` in at least float32 and targets `[N]` in int64. Every loss of the package starts with this.

    Args:
        logits: `[N, C]`, any floating dtype.
        target: `[N]`, any integer dtype.
        classes: the number of columns that there must be; None for any.

    Raises:
        ArgumentError: naming `logits` or `target`, where a shape or dtype is wrong, or (on the CPU only: elsewhere it would
            wait for the device, which reports it itself) a target is no column of the logits.
    """
    if classes is not None:
        check_classes(logits, classes)
    elif logits.ndim != 2:
        raise ArgumentError("logits", "of shape [N, C], one row a scored unit and one column a class", list(logits.shape))
    if not logits.is_floating_point():
        raise ArgumentError("logits", "floating-point scores", logits.dtype)
    if target.shape != logits.shape[:1]:
        raise ArgumentError("target", f"of shape [{logits.shape[0]}], one class index a row of logits", list(target.shape))
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        expected = "whole class indices (int64); give a mixed example as two rows with shares instead of soft targets"
        raise ArgumentError("target", expected, target.dtype)
    _check_range(target, logits.shape[1])
    return upcast(logits), target.long()


def _check_range(target: Tensor, classes: int) -> None:
    if target.device.type != "cpu" or target.numel() == 0 or torch.compiler.is_compiling():
        return
    try:
        low, high = (int(end) for end in torch.aminmax(target))
    except RuntimeError:  # mapped by torch.vmap, which lets nobody look at values
        return
    if low < 0 or high >= classes:
        expected = f"class indices from 0 to {classes - 1} (leave out the rows that are to be ignored)"
        raise ArgumentError("target", expected, f"indices from {low} to {high}")


def upcast(logits: Tensor) -> Tensor:
    """Half-precision logits as float32; float32 and float64 unchanged. Every loss starts with this."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def check_classes(logits: Tensor, classes: int) -> None:
    """Refuse logits whose number of columns is not the number of classes the loss was built for."""
    if logits.ndim != 2 or logits.shape[1] != classes:
        raise ArgumentError("logits", f"of shape [N, {classes}], one column a class of class_counts", list(logits.shape))
