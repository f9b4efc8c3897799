"""A backbone with a classifier behind it."""

from __future__ import annotations

from torch import Tensor, nn


class AdaptedClassifier(nn.Module):
    """The features of a backbone, and one linear layer.

    As long as the backbone's own weights are frozen, its layers with running statistics stay in evaluation mode: a frozen
    backbone gives the same features for an image whatever else is in the batch.

    Args:
        encoder: images to features `[N, d]`, with its adapter.
        features: d.
        num_classes: C.
        frozen: are the encoder's own weights frozen?

    Shapes:
        images `[N, channels, H, W]` to logits `[N, C]`.

    Example:
        >>> import torch
        >>> AdaptedClassifier(nn.Flatten(), 12, 3, frozen=True)(torch.zeros(2, 3, 2, 2)).shape
        torch.Size([2, 3])
    """

    def __init__(self, encoder: nn.Module, features: int, num_classes: int, *, frozen: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(features, num_classes)
        self.frozen = frozen
        self.train(self.training)

    def train(self, mode: bool = True) -> AdaptedClassifier:
        """Set the mode; frozen layers with running statistics stay in evaluation mode."""
        super().train(mode)
        if self.frozen:
            for module in self.encoder.modules():
                if dict(module.named_buffers(recurse=False)).get("running_mean") is not None:
                    module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[N, C]`."""
        logits: Tensor = self.head(self.encoder(images))
        return logits
