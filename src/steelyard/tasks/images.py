"""Images: uint8 on the device, augmented and normalised there in batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.task import Source
from steelyard.data.augment import augment as augment_images
from steelyard.data.augment import check_strength
from steelyard.tasks.about import ModelledTask
from steelyard.tasks.arrays import shape_of
from steelyard.tasks.models import Model, builder

STRONG = "trivial"
"""What "strong" stands for."""

STATISTICS_ROWS = 20_000
"""Mean and standard deviation are taken over this many training images, evenly spaced, where there are more."""


class ImageTask(ModelledTask):
    """Images of one size.

    A batch is augmented (training only), turned into float32 and normalised: `(x / 255 - mean) / std` a channel, with mean
    and standard deviation of the training images.

    Args:
        name: shown in tables.
        class_names: labels of class 0, 1, ...
        splits: sources of images `[N, C, H, W]`, uint8 or floats in [0, 1].
        model: a name, a module, or a function that makes one (see `builder`); "auto" is resnet32 for 32x32 pixels and
            small-cnn for all other sizes.
        model_settings: further arguments for a model by name.
        notes: sentences about the data.

    Attributes:
        mean: of the training images `[C]`, of x / 255.
        std: likewise; 1 for a channel that never changes.

    Raises:
        ArgumentError: inputs are not images.

    Example:
        >>> from steelyard.data import ResidentSource
        >>> images = torch.arange(128).to(torch.uint8).reshape(2, 1, 8, 8)
        >>> task = ImageTask("tiny", ["a", "b"], {"train": ResidentSource(images, torch.tensor([0, 1]))})
        >>> loaded = task.load(images, augment="none", generator=None)
        >>> loaded.dtype, bool(loaded.mean().abs() < 1e-6), task.model_name
        (torch.float32, True, 'small-cnn')
    """

    def __init__(
        self,
        name: str,
        class_names: Iterable[str],
        splits: Mapping[str, Source],
        *,
        model: Model = "auto",
        model_settings: Mapping[str, Any] | None = None,
        notes: Iterable[str] = (),
    ) -> None:
        names = tuple(class_names)
        shape = shape_of(splits["train"])
        if len(shape) != 3:
            raise ArgumentError("splits", "sources of images [N, C, H, W]", f"shape {['N', *shape]}")
        if isinstance(model, str) and model == "auto":
            model = "resnet32" if shape[1:] == (32, 32) else "small-cnn"
        build = builder(model, num_classes=len(names), input_shape=shape, settings=model_settings)
        words = "x".join(str(size) for size in shape) + " pixels"
        super().__init__(name, names, splits, build, kind="images", features=words, notes=notes)
        self.mean, self.std = channel_statistics(splits["train"])
        self._on: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def load(self, inputs: Tensor, *, augment: str, generator: torch.Generator | None) -> Tensor:
        """Augment and normalise a batch.

        Args:
            inputs: `[N, C, H, W]`, as the source holds it.
            augment: strength, one of `steelyard.data.augment.STRENGTHS`, or "strong" for `STRONG`.
            generator: drawn from by all strengths but "none".
        """
        if augment == "strong":
            augment = STRONG
        if augment != "none":
            check_strength(augment)
            inputs = augment_images(inputs, augment, generator)
        scale, shift = self._affine(inputs.device, inputs.dtype == torch.uint8)
        return torch.addcmul(shift, inputs.float(), scale)

    def _affine(self, device: torch.device, byte: bool) -> tuple[Tensor, Tensor]:
        """Scale and shift `[1, C, 1, 1]` of the normalisation; made once a device, so a step copies nothing."""
        if device not in self._on:
            scale, shift = 1 / self.std, -self.mean / self.std
            self._on[device] = (scale.view(1, -1, 1, 1).to(device), shift.view(1, -1, 1, 1).to(device))
        scale, shift = self._on[device]
        return (scale / 255 if byte else scale), shift


def channel_statistics(source: Source) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel `[C]`, float32, of images scaled to [0, 1]."""
    rows = torch.arange(len(source))
    if len(rows) > STATISTICS_ROWS:
        rows = torch.linspace(0, len(source) - 1, STATISTICS_ROWS, dtype=torch.float64).round().to(torch.int64)
    total = square = torch.zeros((), dtype=torch.float64)
    pixels = 0
    for _, images in source.to(torch.device("cpu")).stream(torch.split(rows, 512)):
        values = images.double() / (255 if images.dtype == torch.uint8 else 1)
        total = total + values.sum((0, 2, 3))
        square = square + values.square().sum((0, 2, 3))
        pixels += values.numel() // values.shape[1]
    mean = total / pixels
    std = (square / pixels - mean.square()).clamp_min(0).sqrt()
    return mean.float(), torch.where(std < 1e-4, torch.ones_like(std), std).float()
