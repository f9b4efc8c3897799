"""Backbones of few-shot learners: what makes features of inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.nets import Conv4, build, with_head
from steelyard.tasks.models import Builder, Model, builder

FEATURES = 64
"""Features of a vector's backbone, and what a factory of your own is asked for as `num_classes`."""
CONV4, VECTORS = "conv4", "mlp"
USUAL_WIDTH = 32


@dataclass(frozen=True)
class _Conv4:
    channels: int
    width: int

    def __call__(self) -> nn.Module:
        return Conv4(self.channels, width=self.width)


@dataclass(frozen=True)
class _Vectors:
    size: int

    def __call__(self) -> nn.Module:
        return nn.Sequential(nn.Linear(self.size, FEATURES), nn.BatchNorm1d(FEATURES), nn.ReLU(), nn.Linear(FEATURES, FEATURES))


@dataclass(frozen=True)
class _Beheaded:
    """A named model without its classifier."""

    name: str
    shape: tuple[int, ...]
    settings: dict[str, Any]

    def __call__(self) -> nn.Module:
        return with_head(build(self.name, num_classes=2, input_shape=self.shape, **self.settings), nn.Identity())


def backbone_builder(model: Model, settings: Mapping[str, Any] | None = None, *, shape: tuple[int, ...]) -> Builder:
    """Understand what a user gives as the model of a few-shot learner.

    Args:
        model: "auto" is "conv4" for images and a small "mlp" for vectors; the name of any other model of
            `steelyard.nets.build`, of which the classifier is left out; or a module, or a function that makes one, that gives
            features `[N, d]`.
        settings: of a model by name; conv4 has `width` (32; 64 in the papers).
        shape: of an input, `(C, H, W)` or `(d,)`.

    Raises:
        ArgumentError: a model that does not take such inputs, or a width below 1.
        UnknownName: no such model or setting.

    Example:
        >>> backbone_builder("auto", {"width": 8}, shape=(1, 28, 28))().width
        8
    """
    given, images = dict(settings or {}), len(shape) == 3
    if not isinstance(model, str):
        return builder(model, num_classes=FEATURES, input_shape=shape, settings=given)
    name = (CONV4 if images else VECTORS) if model == "auto" else model
    if name == CONV4:
        if not images:
            raise ArgumentError("model", f"'{VECTORS}', as the inputs are vectors of {shape[0]} numbers", repr(model))
        _known(name, given, ("width",))
        width = given.get("width", USUAL_WIDTH)
        if type(width) is not int or width < 1:
            raise ArgumentError("width", "a whole number, 1 or more", width)
        return Builder(name, _Conv4(shape[0], width))
    if name == VECTORS and not images:
        _known(name, given, ())
        return Builder(name, _Vectors(shape[0]))
    make = _Beheaded(name, shape, given)
    try:
        make()  # what is wrong with it is said now
    except UnknownName as error:
        if error.kind != "model":
            raise
        raise UnknownName("model", name, (CONV4 if images else VECTORS, *error.known)) from None
    return Builder(name, make)


def _known(name: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for setting in given:
        if setting not in known:
            raise UnknownName(f"setting of {name}", setting, known)
