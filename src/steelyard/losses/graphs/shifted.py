"""A loss of scores that something else has shifted in training."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from steelyard.core.loss import CrossEntropy, Loss


class Shifted(Loss):
    """Another loss, of logits plus the `shift` that the batch carries; without one, the other loss itself.

    Args:
        loss: of the shifted logits; None for cross-entropy.
        reduction: "mean", "sum" or "none".

    Shapes:
        logits `[N, C]`, shift `[N, C]`.

    Example:
        >>> import torch
        >>> Shifted()(torch.zeros(1, 2), torch.tensor([0]), shift=torch.tensor([[0.0, -1e9]])).item()
        0.0
    """

    def __init__(self, loss: Loss | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.loss = CrossEntropy() if loss is None else loss

    def rows(self, logits: Tensor, target: Tensor, *, shift: Tensor | None = None, **context: Any) -> Tensor:
        """The other loss's values `[N]`."""
        return self.loss.rows(logits if shift is None else logits + shift.to(logits), target, **context)
