"""PointNet++ for the points of a cloud, in plain torch: no compiled extension."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from steelyard.nets._point_sets import farthest_points, gather, interpolation, within_ball
from steelyard.nets.point_mlp import PointNet


@dataclass(frozen=True)
class Layout:
    """How large a PointNet++ is.

    Attributes:
        points: centres of each level of abstraction.
        radii: of their balls, in units of the set's longest side.
        neighbours: points taken from a ball.
        down: widths of the layers of each level of abstraction.
        up: widths of the layers that propagate features back, from the coarsest level to the points.
        head: widths of the hidden layers of the classifier.
    """

    points: tuple[int, ...]
    radii: tuple[float, ...]
    neighbours: int
    down: tuple[tuple[int, ...], ...]
    up: tuple[tuple[int, ...], ...]
    head: tuple[int, ...]


SOUL = Layout(
    (1024, 256, 64, 16),
    (0.1, 0.2, 0.4, 0.8),
    32,
    ((32, 32, 64), (64, 64, 128), (128, 128, 256), (256, 256, 512)),
    ((256, 256), (256, 256), (256, 128), (128, 128, 128)),
    (256, 128),
)
"""Of the paper: for sets of some 3000 points."""
SMALL = Layout((128, 32, 8), (0.15, 0.3, 0.6), 16, ((16, 32), (32, 64), (64, 128)), ((64,), (64,), (64, 64)), (64,))
"""For sets of some 500 points, and training on a CPU."""
LAYOUTS = {"soul": SOUL, "small": SMALL}


class PointNet2(PointNet):
    """PointNet++ with one scale a level: spread centres, look around each in a ball, carry what was seen back to the points.

    A level takes S centres spread over the set, the nearest K points in a ball around each, runs their relative coordinates
    and features through shared layers and keeps the largest value of each; on the way back, the features of the three nearest
    centres, weighted by their inverse squared distances, join those of the level. Coordinates enter as features, too.

    Args:
        num_classes: C.
        features: F, without coordinates.
        layout: "soul" (1,016,194 parameters for two classes and twelve features), "small", or one of your own.

    Shape:
        xyz `[B, n, 3]` with sides of about 1, features `[B, n, F]`, asked `[B, n]` or None; logits `[K, C]`, see `PointNet`.

    Raises:
        ArgumentError: features of another shape.

    Reference:
        Qi, Yi, Su, Guibas, PointNet++: deep hierarchical feature learning on point sets in a metric space, NeurIPS 2017;
        layout: Bai, Durand, Vincent, Forbes, NeurIPS 2023.

    Departures:
        The centres start at the point farthest from the middle, where the released code starts at random, also when it
        predicts. A ball gives its nearest points, where there it gives those listed first, which, with points sorted by
        distance, lie on one side. So the order of the points changes nothing, and two predictions are the same. The head takes
        the points of all sets as rows.

    Example:
        >>> net = PointNet2(2, 12, layout="soul")
        >>> sum(parameter.numel() for parameter in net.parameters())
        1016194
    """

    def __init__(self, num_classes: int, features: int, *, layout: Layout | str = "small") -> None:
        super().__init__(features)
        self.layout = LAYOUTS[layout] if isinstance(layout, str) else layout
        width = features + 3
        widths = [width]
        self.down = nn.ModuleList()
        for layers in self.layout.down:
            self.down.append(_shared(widths[-1] + 3, layers))
            widths.append(layers[-1])
        self.up = nn.ModuleList()
        skips = [0, *widths[1:-1]][::-1]  # the points themselves hand on nothing
        below = widths[-1]
        for skip, layers in zip(skips, self.layout.up, strict=True):
            self.up.append(_shared(below + skip, layers))
            below = layers[-1]
        hidden = [below, *self.layout.head]
        body = [layer for a, b in itertools.pairwise(hidden) for layer in (nn.Linear(a, b), nn.ELU())]
        self.head = nn.Sequential(*body, nn.Linear(hidden[-1], num_classes))

    def embed(self, xyz: Tensor, features: Tensor) -> Tensor:
        """Features of each point after the way down and back `[B, n, d]`."""
        places, held = [xyz], [torch.cat([xyz, features], -1)]
        for count, radius, layers in zip(self.layout.points, self.layout.radii, self.down, strict=True):
            here = places[-1]
            centres = gather(here, farthest_points(here, min(count, here.shape[1])))
            ball = within_ball(here, centres, radius, self.layout.neighbours)
            seen = torch.cat([gather(here, ball) - centres.unsqueeze(2), gather(held[-1], ball)], -1)
            places.append(centres)
            held.append(_applied(layers, seen).amax(2))
        coarse, values = places.pop(), held.pop()
        for layers in self.up:
            fine, own = places.pop(), held.pop()
            number, weight = interpolation(coarse, fine)
            carried = (gather(values, number) * weight.unsqueeze(-1)).sum(2)
            values = _applied(layers, torch.cat([own, carried], -1) if places else carried)
            coarse = fine
        return values


def _shared(width: int, layers: Sequence[int]) -> nn.Sequential:
    """Layers that are applied to every point alike."""
    widths = [width, *layers]
    return nn.Sequential(
        *(layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()))
    )


def _applied(layers: nn.Module, values: Tensor) -> Tensor:
    applied: Tensor = layers(values.flatten(0, -2)).reshape(*values.shape[:-1], -1)
    return applied
