"""Sums over the rows of a class within a batch, without knowing how many classes there are and without waiting for a device."""

from __future__ import annotations

import torch
from torch import Tensor

PAIRED_ROWS = 4096
"""Rows up to which an accelerator compares every pair: its scattered additions come in no fixed order, a product does."""


def widened(values: Tensor) -> Tensor:
    """In float64, or float32 where Metal is the device.

    Example:
        >>> widened(torch.ones(1, dtype=torch.bfloat16)).dtype
        torch.float64
    """
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)


def first_of_class(target: Tensor) -> Tensor:
    """For each row the number of the first row of the same class `[N]`.

    Example:
        >>> first_of_class(torch.tensor([7, 3, 7, 3, 0]))
        tensor([0, 1, 0, 1, 4])
    """
    places = torch.arange(len(target), device=target.device)
    ordered, order = target.sort(stable=True)
    begins = ordered != ordered.roll(1)
    begins[:1] = True
    first = torch.empty_like(order)
    first[order] = order[places.where(begins, 0).cummax(0).values]
    return first


def class_totals(values: Tensor, target: Tensor) -> Tensor:
    """For each row the sum of `values` over the rows of its class, `[N]` or `[N, k]`.

    Args:
        values: `[N]` or `[N, k]`.
        target: class of each row `[N]`; any integers.

    Example:
        >>> class_totals(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([9, 0, 9]))
        tensor([5., 2., 5.])
    """
    if values.device.type != "cpu" and len(target) <= PAIRED_ROWS:
        with torch.autocast(values.device.type, enabled=False):
            return (target[:, None] == target).to(values.dtype) @ values
    first = first_of_class(target)
    return torch.zeros_like(values).index_add_(0, first, values)[first]
