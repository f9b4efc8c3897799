"""Functions of a row's cross-entropy: the general cross-entropy family and the focal factor."""

from __future__ import annotations

import torch
from torch import Tensor

NEGLIGIBLE_Q = 1e-20
"""Below this `generalized` equals the cross-entropy to the last bit of float64, but float32 could not divide by q."""

FOCAL_FLOOR = 1e-15
"""Cross-entropies are at least this inside the focal factor: powers of it below 1 keep finite first and second derivatives."""


def generalized(nll: Tensor, q: float) -> Tensor:
    """`(1 - u ** q) / q` for `u = exp(-nll)`, and `nll` itself for q = 0, computed without forming u.

    Example:
        >>> generalized(torch.tensor([1.0, 1000.0]), 0.5)
        tensor([0.7869, 2.0000])
    """
    return nll if q < NEGLIGIBLE_Q else -torch.expm1(-q * nll) / q


def focal(nll: Tensor, gamma: float) -> Tensor:
    """`(1 - p) ** gamma * nll` for `p = exp(-nll)`, finite with its derivatives for p = 0 and p = 1.

    Example:
        >>> focal(torch.tensor([0.0, 1000.0]), 0.5)
        tensor([   0., 1000.])
    """
    if gamma == 0:
        return nll
    return (-torch.expm1(-nll.clamp_min(FOCAL_FLOOR))) ** gamma * nll
