"""Random views of images for self-supervision, made in batches in plain torch: a zoomed window, mirrored, in other colours."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def random_views(images: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """A view of each image, drawn anew.

    A window of 20 % to 100 % of the area with an aspect ratio of 3/4 to 4/3, brought to `size`; mirrored half of the time (left
    to right); brightness, contrast and, for three channels, saturation times 0.6 to 1.4 in 8 of 10 cases, and grey in 2 of 10.

    Args:
        images: `[N, C, H, W]` in [0, 1], float32.
        size: height and width of the views.
        generator: drawn from; on the CPU or on the images' device.

    Returns:
        `[N, C, *size]` in [0, 1].

    Reference:
        Chen, Kornblith, Norouzi, Hinton: A simple framework for contrastive learning of visual representations, ICML 2020.

    Departures:
        Windows of at least 20 % of the area instead of 8 %; no change of hue and no blur.

    Example:
        >>> random_views(torch.rand(2, 3, 8, 8), (4, 4), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 4, 4])
    """
    rows = len(images)
    drawn = torch.rand(rows, 10, generator=generator, device=generator.device).to(images.device)
    area, ratio = 0.2 + 0.8 * drawn[:, 0], torch.exp((2 * drawn[:, 1] - 1) * math.log(4 / 3))
    wide, high = (area * ratio).sqrt().clamp_max(1), (area / ratio).sqrt().clamp_max(1)
    mirrored = torch.where(drawn[:, 4] < 0.5, -1.0, 1.0)
    theta = images.new_zeros(rows, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = wide * mirrored, high
    theta[:, 0, 2], theta[:, 1, 2] = (2 * drawn[:, 2] - 1) * (1 - wide), (2 * drawn[:, 3] - 1) * (1 - high)
    grid = F.affine_grid(theta, [rows, images.shape[1], *size], align_corners=False)
    views = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return _recoloured(views, drawn[:, 5:])


def _recoloured(views: Tensor, drawn: Tensor) -> Tensor:
    """Other brightness, contrast and saturation, or none; `drawn` `[N, 5]` in [0, 1)."""
    factors = torch.where(drawn[:, 3:4] < 0.8, 0.6 + 0.8 * drawn[:, :3], 1.0)
    bright, contrast, saturation = (factors[:, i].reshape(-1, 1, 1, 1) for i in range(3))
    views = views * bright
    middle = views.mean((1, 2, 3), keepdim=True)
    views = middle + (views - middle) * contrast
    if views.shape[1] == 3:
        grey = views.mean(1, keepdim=True)
        saturation = torch.where(drawn[:, 4].reshape(-1, 1, 1, 1) < 0.2, 0.0, saturation)
        views = grey + (views - grey) * saturation
    return views.clamp(0, 1)
