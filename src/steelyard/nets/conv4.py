"""The four-block convolutional network of the few-shot literature: it gives features, not class scores."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.nets.resnet32 import kaiming

BLOCKS = 4


class Conv4(nn.Module):
    """Four blocks of 3x3 convolution, BatchNorm, ReLU and 2x2 max pooling.

    Args:
        in_channels: channels of the images.
        width: channels of every block, at least 1; 64 in the papers.

    Shapes:
        images `[B, in_channels, H, W]` to features `[B, width * h * w]`, where h and w are H and W halved four times (rounded
        down, but never below 1): `[B, width]` for 28x28 and `[B, 25 * width]` for 84x84. `maps` gives `[B, width, h, w]` after
        fewer poolings.

    Raises:
        ArgumentError: a count below 1.

    Reference:
        Vinyals, Blundell, Lillicrap, Kavukcuoglu, Wierstra: Matching networks for one shot learning, NeurIPS 2016.

    Departures:
        A map of one pixel is not halved further, so that images of any size work. Convolutions have no bias, as BatchNorm
        follows.

    Example:
        >>> import torch
        >>> Conv4(1, width=8)(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 8])
    """

    def __init__(self, in_channels: int = 3, *, width: int = 64) -> None:
        super().__init__()
        for argument, value in (("in_channels", in_channels), ("width", width)):
            if value < 1:
                raise ArgumentError(argument, "at least 1", value)
        pairs = list(itertools.pairwise((in_channels, *[width] * BLOCKS)))
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b in pairs)
        self.width = width
        kaiming(self)

    def maps(self, images: Tensor, pools: int = BLOCKS) -> Tensor:
        """Feature maps after all blocks, of which the first `pools` halve the size `[B, width, h, w]`."""
        x = _channels_last(images)
        for level, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = norm(convolution(x))
            if level < pools and min(x.shape[-2:]) > 1:
                x = F.max_pool2d(x, 2)
            x = F.relu(x)  # after the pooling, which gives the same of fewer numbers
        return x

    def forward(self, images: Tensor) -> Tensor:
        """Features `[B, d]`."""
        return self.maps(images).flatten(1)


def _channels_last(images: Tensor) -> Tensor:
    """The same images in the order of memory in which pooling and normalising take a fraction of the time."""
    if images.shape[1] == 1:  # both orders are the same, and torch would take it for the other one
        return images[:, 0].unsqueeze(-1).permute(0, 3, 1, 2)
    return images.contiguous(memory_format=torch.channels_last)
