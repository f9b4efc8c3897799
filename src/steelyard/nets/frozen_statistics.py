"""A model whose normalisation statistics stay as they are while it is trained."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class FrozenStatistics(nn.Module):
    """Train a model without moving its BatchNorm statistics.

    Layers that keep running statistics stay in evaluation mode, also after `train()`: they normalise with the statistics they
    have, and do not count batches. Everything else, dropout too, follows the mode as ever. Parameters are shared with the
    model, so it is trained through this; on its own it is unfrozen again by its next `train()`.

    A second stage on class-balanced rows needs the choice: with running statistics, features that nobody trains any more still
    drift towards those of balanced data.

    Args:
        model: any module; found layers are those with a buffer `running_mean` (BatchNorm, SyncBatchNorm, InstanceNorm that
            tracks).

    Shape:
        as the model's.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 3))
        >>> scores = FrozenStatistics(model).train()(torch.randn(8, 2) + 5)
        >>> model[0].running_mean, model[1].training
        (tensor([0., 0.]), True)
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.train(model.training)

    def train(self, mode: bool = True) -> FrozenStatistics:
        """Set the mode of all layers but those with running statistics, which stay in evaluation mode."""
        super().train(mode)
        for module in self.model.modules():
            if dict(module.named_buffers(recurse=False)).get("running_mean") is not None:
                module.eval()
        return self

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """What the model gives."""
        scores: Tensor = self.model(*inputs, **named)
        return scores
