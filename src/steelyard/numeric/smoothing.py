"""How much the targets of each class are smoothed, from class sizes (each size 1 or more)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def smoothed_head(sizes: Tensor, minimum: float, maximum: float) -> Tensor:
    """Concave sine in n: `maximum` for the largest class, `minimum` for the smallest `[C]`.

    Example:
        >>> smoothed_head(torch.tensor([100.0, 50.0, 0.0]), 0.1, 0.4)
        tensor([0.4000, 0.3121, 0.1000])
    """
    return minimum + (maximum - minimum) * torch.sin(math.pi / 2 * _unit(sizes))


def smoothed_tail(sizes: Tensor, minimum: float, maximum: float) -> Tensor:
    """Linear in log n: `maximum` for the smallest class, `minimum` for the largest `[C]`.

    Example:
        >>> smoothed_tail(torch.tensor([100.0, 10.0, 1.0]), 0.0, 0.2)
        tensor([0.0000, 0.1000, 0.2000])
    """
    return minimum + (maximum - minimum) * _unit(-sizes.log())


def _unit(values: Tensor) -> Tensor:
    """Values mapped linearly to [0, 1]; all 0 where they are equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low).where(high > low, torch.ones_like(high))
