"""What "mean 1" means for class weights: over classes, over training rows, or over the rows of a batch.

The three differ by a constant factor, or a factor a batch, that acts like a learning rate: with an imbalance of 100 on ten
classes, inverse-frequency weights are 0.248 to 24.8 with mean 1 over rows and 0.040 to 4.02 with mean 1 over classes.
"""

from __future__ import annotations

from torch import Tensor


def divisor(total: Tensor) -> Tensor:
    """Totals to divide by: 1 in place of those that are 0, whose parts are 0 too.

    Example:
        >>> import torch
        >>> divisor(torch.tensor([2.0, 0.0]))
        tensor([2., 1.])
    """
    return total.where(total > 0, total.new_ones(()))


def over_classes(class_weights: Tensor) -> Tensor:
    """Weights `[C]` with mean 1 over classes (sum C): what the static weightings of the package use.

    Example:
        >>> import torch
        >>> over_classes(torch.tensor([1.0, 3.0]))
        tensor([0.5000, 1.5000])
    """
    return class_weights / class_weights.mean()


def over_rows(class_weights: Tensor, class_counts: Tensor) -> Tensor:
    """Weights `[C]` with mean 1 over training rows: `sum_c n_c w_c = N`, so the size of the loss does not change.

    Args:
        class_weights: `[C]`.
        class_counts: training rows a class `[C]`.

    Example:
        >>> import torch
        >>> over_rows(torch.tensor([1 / 90, 1 / 10]), torch.tensor([90, 10]))
        tensor([0.5556, 5.0000])
    """
    counts = class_counts.to(class_weights.dtype)
    return class_weights * (counts.sum() / (counts * class_weights).sum())


def over_batch(weights: Tensor, share: Tensor | None = None) -> Tensor:
    """Row weights `[N]` with mean 1 over a batch: what `F.cross_entropy(weight=..., reduction="mean")` divides by.

    A batch whose weights or shares are all 0 stays 0.

    Args:
        weights: `[N]`.
        share: how much each row counts `[N]`; None where each counts 1.

    Example:
        >>> import torch
        >>> over_batch(torch.tensor([1.0, 3.0]))
        tensor([0.5000, 1.5000])
    """
    mass = weights.shape[0] if share is None else share.sum()
    total = weights.sum() if share is None else (share * weights).sum()
    return weights * (mass / divisor(total))
