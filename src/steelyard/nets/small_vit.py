"""A small vision transformer whose linear layers have names of their own, so that adapters can be put on any of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError


class SmallViT(nn.Module):
    """Patches, a few pre-norm transformer blocks, the mean over patches, one linear layer.

    0.3 million parameters at the defaults. Positions are fixed sines and cosines, so images of any size work; images whose
    sides are no multiple of the patch are padded with zeros at the bottom and on the right. There is no class token and no
    dropout. The linear layers of a block are `q_proj`, `k_proj`, `v_proj`, `o_proj`, `fc1` and `fc2`.

    Args:
        num_classes: C, at least 1.
        in_channels: channels of the images.
        patch: pixels, wide and high, of a patch; at least 1.
        width: of the tokens, a multiple of 4 and of `heads`; also the number of features.
        depth: blocks, at least 1.
        heads: of the attention, at least 1.

    Shapes:
        images `[B, in_channels, H, W]` to logits `[B, C]`; `features` gives `[B, width]`.

    Raises:
        ArgumentError: a count below 1, or a width that is no such multiple.

    Reference:
        Dosovitskiy et al.: An image is worth 16x16 words, ICLR 2021; sine and cosine positions and mean pooling: Beyer, Zhai,
        Kolesnikov: Better plain ViT baselines for ImageNet-1k, 2022.

    Example:
        >>> SmallViT(10, in_channels=1, patch=2)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self, num_classes: int, in_channels: int = 3, *, patch: int = 4, width: int = 96, depth: int = 4, heads: int = 3
    ) -> None:
        super().__init__()
        sizes = {"num_classes": num_classes, "in_channels": in_channels, "patch": patch, "depth": depth, "heads": heads}
        for argument, value in sizes.items():
            if value < 1:
                raise ArgumentError(argument, "at least 1", value)
        if width < 4 or width % 4 or width % heads:
            raise ArgumentError("width", f"a multiple of 4 and of the {heads} heads", width)
        self.patch, self.width = patch, width
        self.stem = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """What the classifier sees: `[B, width]`."""
        down, right = (-side % self.patch for side in images.shape[-2:])
        grid = self.stem(F.pad(images, (0, right, 0, down)) if down or right else images)
        places = positions(grid.shape[2], grid.shape[3], self.width).to(grid)
        tokens = grid.flatten(2).transpose(1, 2) + places
        for block in self.blocks:
            tokens = block(tokens)
        pooled: Tensor = self.norm(tokens).mean(1)
        return pooled

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, C]`."""
        logits: Tensor = self.head(self.features(images))
        return logits


class _Block(nn.Module):
    """Attention and a two-layer network, each after a LayerNorm and added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.norm1(tokens)
        q, k, v = (
            project(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        tokens = tokens + self.o_proj(attended)
        moved: Tensor = tokens + self.fc2(F.gelu(self.fc1(self.norm2(tokens))))
        return moved


def positions(height: int, width: int, channels: int) -> Tensor:
    """Sines and cosines of row and column at frequencies from 1 down to 1/10000: `[height * width, channels]`.

    Args:
        height: of the grid.
        width: of the grid.
        channels: a multiple of 4.

    Example:
        >>> positions(1, 2, 4)
        tensor([[0.0000, 1.0000, 0.0000, 1.0000],
                [0.0000, 1.0000, 0.8415, 0.5403]])
    """
    count = channels // 4
    frequency = 10_000.0 ** (-torch.arange(count) / max(count - 1, 1))
    down, right = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    angles = [place.reshape(-1, 1) * frequency for place in (down, right)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], 1)
