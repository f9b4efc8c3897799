"""Networks of points by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from steelyard.core.errors import UnknownName
from steelyard.nets.point_mlp import PointMLP
from steelyard.nets.pointnet2 import PointNet2
from steelyard.settings.text import bind, parameters_of
from steelyard.tasks.models import Builder, Model, builder

MODELS: dict[str, Callable[..., nn.Module]] = {
    "point-mlp": PointMLP,
    "pointnet2": functools.partial(PointNet2, layout="soul"),
    "pointnet2-small": functools.partial(PointNet2, layout="small"),
}
LARGE = 1024
"""Points of a sample from which "auto" is the network of the paper."""


def point_builder(model: Model, num_classes: int, features: int, sample: int, settings: Mapping[str, str]) -> Builder:
    """Understand a model of points.

    Args:
        model: "pointnet2", "pointnet2-small", "point-mlp", "auto", or a module or factory of your own, which is called with
            `(xyz [B, n, 3], features [B, n, F], asked [B, n])` and gives logits `[B, n, C]`.
        num_classes: C.
        features: F.
        sample: n.
        settings: of a model by name, as text: "hidden" of point-mlp.

    Raises:
        UnknownName: no such model, or setting of it.
        ArgumentError: neither a name nor something that makes a module.

    Example:
        >>> point_builder("auto", 2, 12, 512, {}).name
        'pointnet2-small'
    """
    if model == "auto":
        model = "pointnet2" if sample > LARGE else "pointnet2-small"
    if not isinstance(model, str):
        return builder(model, num_classes=num_classes, input_shape=(sample, 3), settings=settings)
    if model not in MODELS:
        raise UnknownName("model of points", model, MODELS)
    known = {} if model != "point-mlp" else parameters_of(PointMLP, skip=("num_classes", "features"))
    values: dict[str, Any] = bind(model, known, settings)
    return Builder(model, functools.partial(MODELS[model], num_classes, features, **values))
