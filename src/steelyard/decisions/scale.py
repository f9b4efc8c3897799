"""Scores times a constant: no other decision, other probabilities."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from steelyard.core.loss import upcast
from steelyard.decisions._arrays import as_number


class Scale(nn.Module):
    """Multiply scores by a constant, so that the softmax of cosines can be certain.

    Decisions stay the same. A loss such as LDAM is trained on `factor * cos`; its probabilities are those of the scaled scores.

    Args:
        factor: above 0; one over the temperature.

    Shape:
        scores `[N, C]` to scores `[N, C]`, at least float32.

    Raises:
        ArgumentError: `factor` is not a finite number above 0.

    Example:
        >>> Scale(30.0)(torch.tensor([[0.5, -0.5]]))
        tensor([[ 15., -15.]])
    """

    factor: Tensor

    def __init__(self, factor: float) -> None:
        super().__init__()
        factor = as_number(factor, "factor", "a finite number above 0", lambda value: 0 < value < math.inf)
        self.register_buffer("factor", torch.tensor(factor))

    def forward(self, logits: Tensor) -> Tensor:
        """Scaled scores `[N, C]`."""
        return upcast(logits) * self.factor

    def extra_repr(self) -> str:
        """Shown by print(decision)."""
        return f"factor={float(self.factor):g}"
