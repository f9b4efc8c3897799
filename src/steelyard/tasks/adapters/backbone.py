"""Backbones by name: networks of ours, models of timm, and image models of transformers, read from safetensors only."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, DataError, SteelyardError, UnknownName
from steelyard.core.head import find_head
from steelyard.nets import build, with_head
from steelyard.settings.text import read_call

OWN = ("small-vit", "small-cnn", "resnet32")
"""Networks of ours that take images of any size."""
LIBRARIES = ("timm:", "torchvision:")
POOLS = ("mean", "first")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
LORA = "pip install 'steelyard[lora]'"


@dataclass(frozen=True)
class Backbone:
    """What turns images into features.

    Attributes:
        name: as a report says it.
        encoder: images `[N, channels, H, W]` to features `[N, d]`; maps and tokens are averaged.
        channels: that it takes; None for those of the images.
        size: height and width that it takes; None for any. Images of other sizes are brought to it.
        mean: of the images that it was trained on, a value a channel, of x / 255; empty for those of the training images.
        std: likewise.
        facts: what else a report says, as JSON values.
    """

    name: str
    encoder: nn.Module = field(repr=False)
    channels: int | None = None
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


class Pooled(nn.Module):
    """Features `[N, d]` of a network that gives maps `[N, d, h, w]`, tokens `[N, T, d]`, or an output of transformers.

    Args:
        model: the network.
        pool: "mean" over places or tokens, or the "first" token, which many transformers train as the class token.
        named: call it as transformers' image models are called.

    Raises:
        ArgumentError: "first" for a network that gives no tokens.

    Example:
        >>> Pooled(nn.Conv2d(3, 4, 1))(torch.zeros(2, 3, 5, 5)).shape
        torch.Size([2, 4])
    """

    def __init__(self, model: nn.Module, pool: str = "mean", *, named: bool = False) -> None:
        super().__init__()
        self.model, self.pool, self.named = model, pool, named

    def forward(self, images: Tensor) -> Tensor:
        """Features `[N, d]`."""
        out: Tensor = self.model(pixel_values=images).last_hidden_state if self.named else self.model(images)
        if self.pool == "first":
            if out.ndim != 3:
                raise ArgumentError("pool", "'mean', as this backbone gives no tokens", "'first'")
            return out[:, 0]
        if out.ndim == 4:
            return out.mean((2, 3))
        return out.mean(1) if out.ndim == 3 else out


def load_backbone(given: str | nn.Module, shape: Sequence[int], *, pool: str = "mean") -> Backbone:
    """A backbone that somebody else has trained.

    Args:
        given: "timm:NAME" or "torchvision:NAME", whose weights are downloaded where the library has not got them yet
            ("timm:NAME(pretrained=false)" for random ones); the folder of a transformers image model, or its name on the hub
            as "owner/name"; or a module that maps images to features.
        shape: of the images, `(channels, H, W)`.
        pool: of transformers' models: "mean" over tokens, or the "first" one.

    Raises:
        SteelyardError: there is no such model, it cannot be read safely, or a package is missing.
    """
    if pool not in POOLS:
        raise ArgumentError("pool", " or ".join(map(repr, POOLS)), repr(pool))
    if isinstance(given, nn.Module):
        return Backbone(type(given).__name__, Pooled(given, pool))
    if given.startswith(LIBRARIES):
        if pool != POOLS[0]:
            raise ArgumentError("pool", "left out, as the models of timm and torchvision pool themselves", repr(pool))
        return _of_library(given, shape)
    folder = Path(given)
    if folder.is_dir():
        check_folder(folder)
    elif folder.is_absolute() or given.startswith(".") or given.count("/") != 1:
        if folder.suffix or "/" in given:
            raise DataError(f"there is no folder {given} to read a backbone from")
        raise UnknownName("backbone", given, (*OWN, "timm:NAME", "torchvision:NAME", "owner/name", "a folder"))
    return _of_transformers(given, folder, pool)


def own_network(text: str, channels: int) -> tuple[str, nn.Module]:
    """A network of ours without its classifier, freshly drawn from torch's global generator.

    Args:
        text: "small-vit", or with settings: "small-vit(patch=2,depth=2)".
        channels: of the images.

    Returns:
        Its name with settings as typed, and the network: images to features.
    """
    name, settings = read_call(text)
    return text, headless(build(name, num_classes=1, input_shape=(channels, 32, 32), **settings))


def headless(model: nn.Module) -> nn.Module:
    """A classifier without its last linear layer, changed in place.

    Raises:
        ArgumentError: it has none.
    """
    if find_head(model) is None:
        raise ArgumentError("backbone", "one that ends in a linear layer, which is taken off", type(model).__name__)
    return with_head(model, nn.Identity())


def is_own(text: str | nn.Module) -> bool:
    """Whether this names a network of ours, which has to be pre-trained first."""
    return isinstance(text, str) and text.partition("(")[0].strip() in OWN


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be read, or cannot be read safely.

    Raises:
        DataError: no configuration, no weights, or weights as pickle only.
    """
    if not (folder / "config.json").is_file():
        raise DataError(f"folder {folder} has no config.json, so it holds no model of transformers")
    files = sorted(path.name for path in folder.iterdir() if path.is_file())
    if any(name.endswith(".safetensors") for name in files):
        return
    pickles = [name for name in files if name.endswith(PICKLES)]
    if pickles:
        raise DataError(
            f"folder {folder} holds its weights as pickle only ({pickles[0]}), which runs whatever code is in it: save the "
            "model as safetensors, with model.save_pretrained(folder, safe_serialization=True)"
        )
    raise DataError(f"folder {folder} has a config.json but no weights (*.safetensors)")


def _of_library(text: str, shape: Sequence[int]) -> Backbone:
    name, written = read_call(text)
    settings = {"pretrained": True} | written
    model = build(name, num_classes=2, input_shape=shape, **settings)
    trained = dict(getattr(model, "pretrained_cfg", None) or {})
    mean, std = (tuple(float(v) for v in trained.get(key) or ()) for key in ("mean", "std"))
    alike = len(mean) == len(std) == shape[0]
    facts = {"weights": "of the library" if settings["pretrained"] else "random"}
    return Backbone(text, headless(model), shape[0], None, mean if alike else (), std if alike else (), facts)


def _of_transformers(given: str, folder: Path, pool: str) -> Backbone:
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise SteelyardError(f"models of transformers need the package {error.name or 'transformers'}: {LORA}") from error
    logging = transformers.utils.logging
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what the files lack is told below
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # parts that the file has no weights for are the same in every process
            model: Any
            model, loading = transformers.AutoModel.from_pretrained(
                given,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=folder.is_dir(),
                output_loading_info=True,
            )
            model = model.float()
    except Exception as error:  # whatever a hub, a network or a damaged file may raise
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise DataError(f"backbone '{given}' cannot be read ({type(error).__name__}: {reason})") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
    tower = getattr(model, "vision_model", None)  # of models of images and texts
    model = tower if isinstance(tower, nn.Module) else model
    if getattr(model, "main_input_name", "pixel_values") != "pixel_values":
        raise DataError(f"backbone '{given}' ({type(model).__name__}) does not take images")
    weights = _where_from(given, model, set(loading["missing_keys"]), prefix="" if model is not tower else "vision_model.")
    config = model.config
    mean, std = _statistics(folder)
    channels = getattr(config, "num_channels", None) or 3
    if len(mean) != channels or len(std) != channels:
        mean = std = ()
    name = folder.name if folder.is_dir() else given
    facts = {"weights": weights, "architecture": type(model).__name__}
    return Backbone(name, Pooled(model, pool, named=True), channels, _size(config), mean, std, facts)


def _where_from(given: str, model: nn.Module, missing: set[str], *, prefix: str) -> str:
    """Where the weights come from, in words.

    Raises:
        DataError: the files lack most of them, so that they are of another model and what was loaded is random.
    """
    sizes = {prefix + name: value.numel() for name, value in model.named_parameters() if "pooler" not in name}
    lacking = [name for name in sizes if name in missing]
    if sum(sizes[name] for name in lacking) > sum(sizes.values()) / 2:
        raise DataError(
            f"backbone '{given}' has no weights for {len(lacking)} of the {len(sizes)} parameters of its "
            f"{type(model).__name__} ('{lacking[0]}', ...): its config.json and its weights are of different models"
        )
    if not lacking:
        return "read from safetensors"
    return f"read from safetensors; random where the files have none: {', '.join(lacking)}"


def _size(config: Any) -> tuple[int, int] | None:
    """The only size that a model takes; None where it takes any, or does not say."""
    size = getattr(config, "image_size", None)
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, list | tuple) else (size, size)
    return int(pair[0]), int(pair[-1])


def _statistics(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that a folder's model expects its images to be normalised with."""
    try:
        found = json.loads((folder / "preprocessor_config.json").read_text())
        mean, std = (tuple(float(value) for value in found[key]) for key in ("image_mean", "image_std"))
    except (OSError, ValueError, KeyError, TypeError):
        return (), ()
    return (mean, std) if all(value > 0 for value in std) else ((), ())
