"""Random views of images."""

from __future__ import annotations

import pytest
import torch

from steelyard.core.seeds import generator
from steelyard.tasks.adapters.views import random_views


@pytest.mark.parametrize("channels", [1, 3])
def test_views_have_the_size_asked_for_and_stay_in_range(channels: int) -> None:
    images = torch.rand(16, channels, 12, 10)
    views = random_views(images, (8, 9), generator(0))
    assert views.shape == (16, channels, 8, 9)
    assert bool(((views >= 0) & (views <= 1)).all())
    assert torch.equal(views, random_views(images, (8, 9), generator(0)))
    assert not torch.equal(views, random_views(images, (8, 9), generator(1)))


def test_each_row_is_seen_in_its_own_way() -> None:
    views = random_views(torch.rand(1, 3, 8, 8).repeat(32, 1, 1, 1), (8, 8), generator(0))
    assert len(torch.unique(views.flatten(1), dim=0)) == 32


def test_half_are_mirrored_and_windows_are_inside() -> None:
    """A ramp from left to right keeps its slope's sign unless it is mirrored, and shows values of the picture only."""
    ramp = torch.linspace(0.1, 0.5, 16).expand(400, 1, 16, 16)
    views = random_views(ramp, (16, 16), generator(0))
    rising = (views[..., -1].mean((1, 2)) > views[..., 0].mean((1, 2))).float().mean()
    assert 0.4 < float(rising) < 0.6
    areas = (views[..., -1] - views[..., 0]).abs().mean((1, 2)) / (views.mean((1, 2, 3)) * 0.4 / 0.3)
    assert float(areas.min()) > 0.2
    assert float(areas.max()) < 1.8


def test_some_are_grey() -> None:
    views = random_views(torch.rand(400, 3, 4, 4), (4, 4), generator(0))
    grey = ((views - views.mean(1, keepdim=True)).abs().amax((1, 2, 3)) < 1e-6).float().mean()
    assert 0.12 < float(grey) < 0.28
