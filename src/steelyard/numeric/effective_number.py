"""The effective number of rows of a class."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def effective_number(sizes: Tensor, beta: float) -> Tensor:
    """`(1 - beta ** n) / (1 - beta)` for sizes n >= 1, `[C]`: 1 for beta = 0, n for beta = 1.

    Example:
        >>> effective_number(torch.tensor([1.0, 2.0]), 0.5)
        tensor([1.0000, 1.5000])
    """
    if beta == 0:
        return torch.ones_like(sizes)
    if beta == 1:
        return sizes.clone()
    # log1p keeps what beta lacks to 1; for a tiny beta, beta - 1 would be -1.
    log_beta = math.log1p(beta - 1) if beta > 0.5 else math.log(beta)
    return torch.expm1(sizes * log_beta) / (beta - 1)
