"""Augmentation of a few support images: crop, flip, brightness and contrast, each image by draws of its own."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

AREA = (0.15, 1.1)
ASPECT = (3 / 4, 4 / 3)
JITTER = 0.4


def varied(images: Tensor, black: Tensor, draws: torch.Generator) -> Tensor:
    """Images cropped, flipped and changed in brightness and contrast, of the same size.

    A crop has 15 to 110 % of the area and an aspect ratio of 3/4 to 4/3 and is scaled to the full size; what lies outside of an
    image repeats its border. Half of the images are mirrored. Brightness and contrast are changed by up to 40 %.

    Args:
        images: normalised `[N, C, H, W]`.
        black: what a black pixel is after normalisation `[C]`: brightness is a multiple of the distance to it.
        draws: on the CPU.

    Reference:
        ROS+ of Ochal et al.: Few-shot learning with class imbalance, IEEE Transactions on Artificial Intelligence 4(5), 2023.

    Departures:
        Saturation is left alone; the crop is bilinear; any size of image works (there 84x84).

    Example:
        >>> varied(torch.ones(3, 1, 8, 8), torch.zeros(1), torch.Generator().manual_seed(0)).shape
        torch.Size([3, 1, 8, 8])
    """
    if len(images) == 0:
        return images
    u = torch.rand(len(images), 7, generator=draws).to(images.device)
    area = AREA[0] + (AREA[1] - AREA[0]) * u[:, 0]
    aspect = torch.exp(math.log(ASPECT[0]) + math.log(ASPECT[1] / ASPECT[0]) * u[:, 1])
    wide, high = (area * aspect).sqrt(), (area / aspect).sqrt()
    mirrored = torch.where(u[:, 2] < 0.5, -1.0, 1.0)
    matrix = torch.zeros(len(images), 2, 3, device=images.device)
    matrix[:, 0, 0], matrix[:, 1, 1] = wide * mirrored, high
    matrix[:, 0, 2] = (1 - wide).abs() * (2 * u[:, 3] - 1)
    matrix[:, 1, 2] = (1 - high).abs() * (2 * u[:, 4] - 1)
    grid = F.affine_grid(matrix.to(images.dtype), list(images.shape), align_corners=False)
    cropped = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    bright, contrast = (1 + JITTER * (2 * u[:, column].view(-1, 1, 1, 1) - 1) for column in (5, 6))
    floor = black.to(images).view(1, -1, 1, 1)
    brighter = floor + bright * (cropped - floor)
    mean = brighter.mean((2, 3), keepdim=True)
    return mean + contrast * (brighter - mean)
