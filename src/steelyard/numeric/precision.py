"""How exactly small tables of constants are kept."""

from __future__ import annotations

import torch
from torch import Tensor


def as_table(values: Tensor) -> Tensor:
    """Constants as a loss keeps them: float64, so that float64 logits are served exactly; float32 where Metal is the device.

    Example:
        >>> as_table(torch.ones(2)).shape
        torch.Size([2])
    """
    return values.to(torch.float32 if torch.backends.mps.is_available() else torch.float64)
