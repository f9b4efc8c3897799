"""Class-dependent margins from class sizes (each size 1 or more)."""

from __future__ import annotations

from torch import Tensor


def ldam_margins(sizes: Tensor, max_margin: float) -> Tensor:
    """LDAM's margins `[C]`, proportional to `n ** -1/4`, the largest being `max_margin`.

    Example:
        >>> import torch
        >>> ldam_margins(torch.tensor([16.0, 1.0]), 0.5)
        tensor([0.2500, 0.5000])
    """
    raw = sizes**-0.25
    return raw * (max_margin / raw.max())


def power_margins(sizes: Tensor, kappa: float) -> Tensor:
    """Confidence margins `[C]`, proportional to `n ** kappa`, with mean 1; all 1 for kappa = 0.

    Args:
        sizes: `[C]`.
        kappa: what to choose by validation; -1/4, 0 and 1/3 are sensible.

    Example:
        >>> import torch
        >>> power_margins(torch.tensor([8.0, 1.0]), 1 / 3)
        tensor([1.3333, 0.6667])
    """
    raw = (sizes / sizes.max()) ** kappa
    return raw / raw.mean()
