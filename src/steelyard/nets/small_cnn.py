"""A small convolutional network that learns digits in seconds on a CPU."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.nets.resnet32 import kaiming


class SmallCNN(nn.Module):
    """Three 3x3 convolutions with BatchNorm and ReLU, two of them followed by a halving, a global average, one linear layer.

    93 thousand parameters at the default width. Meant for images of 8x8 to 64x64 with any number of channels; any size of at
    least 1x1 works, as halving rounds up and the average adapts.

    Args:
        num_classes: C, at least 1.
        in_channels: channels of the images.
        width: channels after the first convolution, at least 1; the next ones have 2 and 4 times as many.
        dropout: in [0, 1): share of the features dropped before the linear layer while training.

    Shapes:
        images `[B, in_channels, H, W]` to logits `[B, C]`; `features` gives `[B, 4 * width]`.

    Raises:
        ArgumentError: a count below 1, or `dropout` outside [0, 1).

    Example:
        >>> SmallCNN(10, in_channels=1)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *, width: int = 32, dropout: float = 0.0) -> None:
        super().__init__()
        for argument, value in (("num_classes", num_classes), ("in_channels", in_channels), ("width", width)):
            if value < 1:
                raise ArgumentError(argument, "at least 1", value)
        if not 0 <= dropout < 1:
            raise ArgumentError("dropout", "a share in [0, 1)", dropout)
        widths = (in_channels, width, 2 * width, 4 * width)
        pairs = list(itertools.pairwise(widths))
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b in pairs)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], num_classes)
        kaiming(self)

    def features(self, images: Tensor) -> Tensor:
        """What the classifier sees: `[B, 4 * width]`."""
        x = images.contiguous(memory_format=torch.channels_last)
        last = len(self.convolutions) - 1
        for level, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = F.relu(norm(convolution(x)), inplace=True)
            if level < last:
                x = F.max_pool2d(x, 2, ceil_mode=True)
        pooled: Tensor = self.dropout(x.mean((2, 3)))
        return pooled

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, C]`."""
        logits: Tensor = self.head(self.features(images))
        return logits
