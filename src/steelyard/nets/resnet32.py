"""ResNet-32 for small images: the network of the CIFAR residual-network experiments, and of most long-tail papers since."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.nets.cosine_head import NormedLinear

WIDTHS = (16, 32, 64)
BLOCKS_PER_STAGE = 5


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters (option A).

    Where the block halves the image and doubles the channels, the shortcut takes every second pixel and pads the channels with
    zeros, half of them on either side.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, `in_channels` plus an even number.
        stride: 1, or 2 to halve the image.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.pad = (out_channels - in_channels) // 2

    def forward(self, x: Tensor) -> Tensor:
        """`[B, in_channels, H, W]` to `[B, out_channels, ceil(H / stride), ceil(W / stride)]`."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.pad:
            x = F.pad(x, (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(out + x, inplace=True)


class ResNet32(nn.Module):
    """ResNet-32: a 3x3 stem, three stages of five blocks (16, 32, 64 channels), global average, one linear layer.

    0.46 million parameters: 464,154 for 10 classes and 3 channels. Activations are kept in channels-last order, which is
    faster on CPUs and on GPUs with tensor cores. Images of any size work; it was made for 32x32.

    Args:
        num_classes: C, at least 1.
        in_channels: channels of the images.
        normed: end in a `NormedLinear` (a cosine classifier, as LDAM needs) instead of an `nn.Linear`.

    Shapes:
        images `[B, in_channels, H, W]` to logits `[B, C]`; `features` gives `[B, 64]`.

    Raises:
        ArgumentError: a count below 1.

    Reference:
        He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016, section 4.2.

    Departures:
        The linear layer is drawn like the convolutions (Kaiming normal) with a zero bias, as in the PyTorch port that the
        long-tail literature uses; the paper does not say.

    Example:
        >>> ResNet32(10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *, normed: bool = False) -> None:
        super().__init__()
        for argument, value in (("num_classes", num_classes), ("in_channels", in_channels)):
            if value < 1:
                raise ArgumentError(argument, "at least 1", value)
        self.conv1 = nn.Conv2d(in_channels, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.stages = nn.Sequential(*self._blocks())
        self.head: nn.Module = NormedLinear(WIDTHS[-1], num_classes) if normed else nn.Linear(WIDTHS[-1], num_classes)
        kaiming(self)

    @staticmethod
    def _blocks() -> list[nn.Module]:
        blocks: list[nn.Module] = []
        channels = WIDTHS[0]
        for width in WIDTHS:
            for _ in range(BLOCKS_PER_STAGE):
                blocks.append(Block(channels, width, stride=1 if channels == width else 2))
                channels = width
        return blocks

    def features(self, images: Tensor) -> Tensor:
        """What the classifier sees: `[B, 64]`."""
        x = images.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        pooled: Tensor = self.stages(x).mean((2, 3))
        return pooled

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, C]`."""
        logits: Tensor = self.head(self.features(images))
        return logits


@torch.no_grad()
def kaiming(model: nn.Module) -> None:
    """Draw convolutions and linear layers from Kaiming's normal (fan-in, ReLU) with zero biases; other layers stay."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
