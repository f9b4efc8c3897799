"""Models by name: our own, and those of timm and torchvision where they are installed."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import nn

from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName
from steelyard.core.head import find_head
from steelyard.nets.heads import with_head
from steelyard.nets.mlp import MLP
from steelyard.nets.resnet32 import ResNet32
from steelyard.nets.small_cnn import SmallCNN
from steelyard.nets.small_vit import SmallViT
from steelyard.nets.table_net import TableNet

OWN: dict[str, Callable[..., nn.Module]] = {
    "resnet32": ResNet32,
    "small-cnn": SmallCNN,
    "small-vit": SmallViT,
    "mlp": MLP,
    "table-net": TableNet,
}
FOR_TABLES = ("mlp", "table-net")
LIBRARIES = ("timm", "torchvision")
EXTRA = "pip install 'steelyard[vision]'"


def build(
    name: str,
    *,
    num_classes: int,
    input_shape: Sequence[int],
    cardinalities: Sequence[int] = (),
    pretrained: bool = False,
    **settings: Any,
) -> nn.Module:
    """A fresh model; its weights are drawn from torch's global generator.

    Args:
        name: "resnet32", "small-cnn", "small-vit", "mlp", "table-net", "timm:NAME", "torchvision:NAME", or the bare NAME of a
            timm or torchvision model where only one of them has it.
        num_classes: C, at least 1; the models of timm and torchvision get a last layer of this size and keep their stem.
        input_shape: shape of one input: `(channels, height, width)` of an image or `(d,)` for d numeric columns.
        cardinalities: known categories of each categorical column ("mlp" and "table-net" only).
        pretrained: load the library's weights, which it downloads where they are not in its cache; never done unless asked.
        **settings: further arguments of the model: `width`, `dropout` (small-cnn); `patch`, `width`, `depth`,
            `heads` (small-vit); `normed` (resnet32); `hidden`, `dropout`, `norm` (mlp); `hidden`, `dropout`, `embedding`
            (table-net); whatever a timm or torchvision model takes.

    Raises:
        UnknownName: no such model or setting; the message has the nearest names.
        SteelyardError: timm or torchvision is needed and cannot be imported; the message names the extra.
        ArgumentError: the model cannot take such inputs or settings, or a bare name is in both libraries.

    Example:
        >>> build("small-cnn", num_classes=10, input_shape=(1, 8, 8), width=16).head
        Linear(in_features=64, out_features=10, bias=True)
    """
    shape = tuple(int(size) for size in input_shape)
    if not shape or any(size < 0 for size in shape):
        raise ArgumentError("input_shape", "(channels, height, width) or (columns,)", tuple(input_shape))
    if num_classes < 1:
        raise ArgumentError("num_classes", "at least 1", num_classes)
    if name not in FOR_TABLES and cardinalities:
        raise ArgumentError("cardinalities", f"empty, as '{name}' takes no categorical columns", list(cardinalities))
    if name in OWN:
        return _own(name, num_classes, shape, cardinalities, pretrained, settings)
    library, short = _locate(name)
    _needs_image(name, shape)
    make = _from_timm if library == "timm" else _from_torchvision
    try:
        model = make(short, num_classes, shape[0], pretrained, settings)
    except TypeError as error:
        raise ArgumentError("settings", f"ones that '{name}' knows", f"{settings} ({error})") from error
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise SteelyardError(f"the weights of '{name}' could not be loaded ({error}): use pretrained=False") from error
    _try_out(name, model, shape, num_classes)
    return model


def _own(
    name: str,
    num_classes: int,
    shape: tuple[int, ...],
    cardinalities: Sequence[int],
    pretrained: bool,
    settings: dict[str, Any],
) -> nn.Module:
    factory = OWN[name]
    if pretrained:
        raise ArgumentError("pretrained", f"False, as there are no weights for '{name}'", True)
    taken = [p.name for p in inspect.signature(factory).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    for setting in settings:
        if setting not in taken:
            raise UnknownName(f"setting of {name}", setting, taken)
    if name in FOR_TABLES:
        return factory(num_classes, math.prod(shape), cardinalities, **settings)
    _needs_image(name, shape)
    return factory(num_classes, shape[0], **settings)


def _needs_image(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or min(shape) < 1:
        raise ArgumentError("input_shape", f"(channels, height, width), as '{name}' takes images", shape)


class _UnknownModel(UnknownName):
    """An unknown name while a library that might have it is missing."""

    def _hint(self) -> str:
        return f"{super()._hint()} (models of timm and torchvision need {EXTRA})"


def _locate(name: str) -> tuple[str, str]:
    """Library and name there."""
    prefix, colon, short = name.partition(":")
    if colon:
        if prefix not in LIBRARIES:
            raise UnknownName("model library", prefix, LIBRARIES)
        known = _names(prefix, _import(prefix))
        if short not in known:
            raise UnknownName(f"{prefix} model", short, known)
        return prefix, short
    listed: dict[str, list[str]] = {}
    for library in LIBRARIES:
        try:
            listed[library] = _names(library, _import(library))
        except SteelyardError:
            continue
    found = [library for library, known in listed.items() if name in known]
    if len(found) > 1:
        raise ArgumentError("name", f"{' or '.join(f'{library}:{name}' for library in found)}, as both have it", repr(name))
    if not found:
        error = UnknownName if len(listed) == len(LIBRARIES) else _UnknownModel
        raise error("model", name, [*OWN, *(n for known in listed.values() for n in known)])
    return found[0], name


def _import(library: str) -> ModuleType:
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        raise SteelyardError(f"models of {library} need the package {error.name or library}: {EXTRA}") from error
    except (ImportError, RuntimeError, OSError) as error:
        # torchvision raises RuntimeError beside a torch that it was not built for.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SteelyardError(
            f"models of {library} need a torchvision that was built for the installed torch ({reason}): {EXTRA}"
        ) from error


def _names(library: str, module: ModuleType) -> list[str]:
    if library == "timm":
        return list(module.list_models())
    models = importlib.import_module("torchvision.models")
    # Only the classifiers: segmentation, detection and video models lie in modules of their own.
    return list(models.list_models(module=models))


def _from_timm(name: str, num_classes: int, channels: int, pretrained: bool, settings: dict[str, Any]) -> nn.Module:
    timm = importlib.import_module("timm")
    model: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=num_classes, in_chans=channels, **settings)
    return model


def _from_torchvision(name: str, num_classes: int, channels: int, pretrained: bool, settings: dict[str, Any]) -> nn.Module:
    if channels != 3:
        raise ArgumentError(
            "input_shape", f"of 3 channels for 'torchvision:{name}' (timm's models take any number)", f"{channels} channels"
        )
    models = importlib.import_module("torchvision.models")
    if name in ("googlenet", "inception_v3") and not pretrained:
        # Their auxiliary classifiers would make training return a tuple instead of logits.
        settings = {"aux_logits": False, "init_weights": True} | settings
    if not pretrained:
        fresh: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **settings)
        return fresh
    model: nn.Module = models.get_model(name, weights="DEFAULT", **settings)
    head = find_head(model)
    if head is None or not isinstance(head[1], nn.Linear):
        raise ArgumentError("pretrained", f"False, as '{name}' does not end in a linear layer", True)
    return with_head(model, nn.Linear(head[1].in_features, num_classes))


@torch.no_grad()
def _try_out(name: str, model: nn.Module, shape: tuple[int, ...], num_classes: int) -> None:
    """Score one black image, so that an image size the model cannot take is an error now and not in training."""
    training = model.training
    try:
        logits = model.eval()(torch.zeros(1, *shape))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        expected = f"one that '{name}' can take (`--resize` and `resize=` change the size of images)"
        raise ArgumentError("input_shape", expected, f"{shape} ({reason})") from error
    model.train(training)
    if getattr(logits, "shape", None) != (1, num_classes):
        found = f"{type(logits).__name__} of shape {list(getattr(logits, 'shape', []))}"
        raise ArgumentError("name", f"a classifier that gives logits [N, {num_classes}]", f"'{name}', which gives {found}")
