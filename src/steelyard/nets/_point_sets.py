"""Sets of points in plain torch: farthest points, the nearest within a ball, and interpolation from the nearest.

Nothing here depends on the order in which points are listed, but where two are exactly as near or as far.
"""

from __future__ import annotations

import torch
from torch import Tensor

PAIRS = 1 << 25
"""Distances held at a time."""


@torch.no_grad()
def farthest_points(xyz: Tensor, count: int) -> Tensor:
    """Numbers of points spread over each set `[B, count]`: first the farthest from the middle, then always the farthest left.

    Args:
        xyz: `[B, n, 3]`.
        count: how many; more than n repeats points.

    Example:
        >>> farthest_points(torch.tensor([[[0.0, 0, 0], [1, 0, 0], [4, 0, 0]]]), 2)
        tensor([[2, 0]])
    """
    batch = torch.arange(len(xyz), device=xyz.device)
    chosen = torch.empty(len(xyz), count, dtype=torch.int64, device=xyz.device)
    far = (xyz - xyz.mean(1, keepdim=True)).square().sum(-1).argmax(1)
    nearest = xyz.new_full(xyz.shape[:2], torch.inf)
    for place in range(count):
        chosen[:, place] = far
        nearest = torch.minimum(nearest, (xyz - xyz[batch, far].unsqueeze(1)).square().sum(-1))
        far = nearest.argmax(1)
    return chosen


@torch.no_grad()
def within_ball(xyz: Tensor, centres: Tensor, radius: float, count: int) -> Tensor:
    """Numbers of the points nearest to each centre within a radius `[B, S, count]`; fewer are filled up with the nearest.

    Args:
        xyz: `[B, n, 3]`.
        centres: `[B, S, 3]`, points of it.
        radius: in the units of `xyz`.
        count: how many.

    Example:
        >>> line = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [4, 0, 0]]])
        >>> within_ball(line, line[:, :1], 2.0, 3)
        tensor([[[0, 1, 0]]])
    """
    distance, found = nearest_points(xyz, centres, count)
    return torch.where(distance <= radius, found, found[..., :1])


@torch.no_grad()
def nearest_points(xyz: Tensor, centres: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Distance and number of the `count` points nearest to each centre `[B, S, count]`, nearest first.

    Args:
        xyz: `[B, n, 3]`; with n below `count`, the nearest fills the rest.
        centres: `[B, S, 3]`.
        count: how many.
    """
    distances, numbers = [], []
    most = min(count, xyz.shape[1])
    for part in centres.split(max(PAIRS // max(xyz.shape[0] * xyz.shape[1], 1), 1), 1):
        apart = torch.cdist(part, xyz, compute_mode="donot_use_mm_for_euclid_dist")
        distance, number = apart.topk(most, dim=-1, largest=False)
        distances.append(distance)
        numbers.append(number)
    distance, number = torch.cat(distances, 1), torch.cat(numbers, 1)
    if most < count:
        more = (*number.shape[:2], count - most)
        distance = torch.cat([distance, distance[..., :1].expand(more)], -1)
        number = torch.cat([number, number[..., :1].expand(more)], -1)
    return distance, number


@torch.no_grad()
def interpolation(coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
    """For each fine point, the three nearest coarse ones and their weights `[B, n, 3]`: inverse squared distances, of sum 1.

    Args:
        coarse: `[B, S, 3]`.
        fine: `[B, n, 3]`.
    """
    distance, number = nearest_points(coarse, fine, 3)
    weight = 1 / (distance.square() + 1e-8)
    return number, weight / weight.sum(-1, keepdim=True)


def gather(values: Tensor, number: Tensor) -> Tensor:
    """Values `[B, n, d]` of the numbered points `[B, ...]`, as `[B, ..., d]`."""
    flat = number.reshape(len(number), -1, 1).expand(-1, -1, values.shape[-1])
    return values.gather(1, flat).reshape(*number.shape, values.shape[-1])
