"""Augmentation of image batches on the device they are on: crop, flip, cutout, TrivialAugment, AutoAugment.

Every row of a batch draws its own parameters, all of them from the generator that is passed in, so the same generator state
gives the same images bit for bit. Nothing loops over rows.

Departures from the pipelines of the papers, which work on one 8-bit PIL image at a time:
    - Sizes that are given in pixels for 32x32 images (pad 4, cutout 16) scale with the image, each axis by itself: pad
      `round(side / 8)`, cutout `round(side / 2)`. An 8x8 digit is padded by 1.
    - Cutout comes before normalisation, so the hole is black (0); DeVries and Taylor cut the normalised image, where 0 is the
      mean colour.
    - Operations work on floats in [0, 1] and round once, at the end, where the images are uint8; PIL rounds after every
      operation. Each single operation agrees with PIL's within rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.data.policies import autoaugment, trivialaugment

STRENGTHS = ("none", "flip", "crop-flip", "crop-flip-cutout", "trivial", "auto-cutout")
"""Names that `augment` takes, in order of strength."""

PADDINGS = ("zero", "reflect")
Geometry = Callable[[Tensor, torch.Generator], Tensor]


def augment(images: Tensor, strength: str, generator: torch.Generator | None) -> Tensor:
    """Augment a batch of images.

    Args:
        images: `[N, C, H, W]`, uint8, or floats in [0, 1] ("trivial" and "auto-cutout" insist on the range: augment before
            normalising).
        strength: "none"; "flip"; "crop-flip" (zero-padded random crop, then flip: the standard CIFAR recipe);
            "crop-flip-cutout"; "trivial" (crop, flip, TrivialAugment); "auto-cutout" (crop, flip, AutoAugment's CIFAR-10
            policy, cutout).
        generator: drawn from, unless `strength` is "none"; on the device of the images (a generator on the CPU serves as well,
            at the price of a copy).

    Returns:
        New images of the same shape, dtype and device; the images themselves where `strength` is "none".

    Raises:
        UnknownName: `strength` is not one of `STRENGTHS`.
        ArgumentError: images of another shape, dtype or range, or no generator.
        SteelyardError: kornia is needed and missing; the message names the extra.

    Reference:
        Mueller, Hutter. TrivialAugment. ICCV 2021. Cubuk et al. AutoAugment. CVPR 2019. DeVries, Taylor. Improved
        Regularization of Convolutional Neural Networks with Cutout. 2017.

    Departures:
        See the head of this module and `steelyard.data.policies`. "trivial" has no cutout; the paper's CIFAR runs add it.

    Example:
        >>> images = torch.arange(16.0).reshape(1, 1, 4, 4) / 16
        >>> augment(images, "flip", torch.Generator().manual_seed(1)).shape
        torch.Size([1, 1, 4, 4])
    """
    check_strength(strength)
    if strength == "none":
        return images
    _check_images(images)
    if generator is None:
        raise ArgumentError("generator", f"a torch.Generator, as '{strength}' draws random numbers", "None")
    if strength == "flip":
        return flip(images, generator)
    out = crop_and_flip(images, generator)
    if strength == "trivial":
        out = trivialaugment(out, generator)
    if strength == "auto-cutout":
        out = autoaugment(out, generator)
    return cutout(out, generator) if strength.endswith("cutout") else out


def check_strength(strength: str) -> None:
    """Refuse a name that is not one of `STRENGTHS`.

    Raises:
        UnknownName: with the nearest names.
    """
    if strength not in STRENGTHS:
        raise UnknownName("augmentation", strength, STRENGTHS)


def pad_of(side: int) -> int:
    """Pixels of padding on either end of an axis for random crops: round(side / 8), so 4 for 32 and 1 for 8."""
    return (side + 4) // 8


def hole_of(side: int) -> int:
    """Length of the cutout square along an axis: round(side / 2), so 16 for 32 and 4 for 8."""
    return (side + 1) // 2


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability 1/2.

    Args:
        images: `[N, C, H, W]`, any dtype.
        generator: drawn from: one number a row.
    """
    mirrored = _draw_flips(images, generator)
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def crop(images: Tensor, generator: torch.Generator, *, padding: str = "zero") -> Tensor:
    """Pad each image by `pad_of` its sides and cut a window of the original size at a random place.

    Args:
        images: `[N, C, H, W]`, any dtype.
        generator: drawn from: two numbers a row.
        padding: "zero" (black), or "reflect" (mirrored without repeating the border).
    """
    return _window(images, *_draw_offsets(images, generator), None, padding)


def crop_and_flip(images: Tensor, generator: torch.Generator, *, padding: str = "zero") -> Tensor:
    """`crop`, then `flip`, in one pass over the memory.

    Args:
        images: `[N, C, H, W]`, any dtype.
        generator: drawn from: three numbers a row.
        padding: "zero" or "reflect".
    """
    down, right = _draw_offsets(images, generator)
    return _window(images, down, right, _draw_flips(images, generator), padding)


def cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    """Black out a rectangle of `hole_of` its sides in each image, centred on any pixel and clipped at the border.

    Args:
        images: `[N, C, H, W]`, any dtype.
        generator: drawn from: two numbers a row.

    Reference:
        DeVries, Taylor. Improved Regularization of Convolutional Neural Networks with Cutout. 2017.

    Example:
        >>> int((cutout(torch.ones(1, 1, 32, 32), torch.Generator().manual_seed(0)) == 0).sum()) <= 16 * 16
        True
    """
    rows, height, width = images.shape[0], images.shape[2], images.shape[3]
    inside = []
    for side in (height, width):
        hole = hole_of(side)
        centre = _draw_below(side, rows, images, generator)
        place = torch.arange(side, device=images.device)
        start = (centre - hole // 2)[:, None]
        inside.append((place >= start) & (place < start + hole))
    hidden = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(hidden, 0)


def _window(images: Tensor, down: Tensor, right: Tensor, mirrored: Tensor | None, padding: str) -> Tensor:
    """The window whose corner lies `down`, `right` `[N]` pixels from the image's own corner, mirrored where asked."""
    if padding not in PADDINGS:
        raise ArgumentError("padding", "'zero' or 'reflect'", repr(padding))
    rows, channels, height, width = images.shape
    y = torch.arange(height, device=images.device) + down[:, None]
    x = torch.arange(width, device=images.device) + right[:, None]
    if mirrored is not None:
        x = torch.where(mirrored[:, None], x.flip(1), x)
    if padding == "reflect":
        y, x = _reflect(y, height), _reflect(x, width)
    place = y.clamp(0, height - 1)[:, :, None] * width + x.clamp(0, width - 1)[:, None, :]
    place = place.reshape(rows, 1, height * width).expand(rows, channels, height * width)
    out = images.reshape(rows, channels, height * width).gather(2, place).reshape(images.shape)
    if padding == "reflect":
        return out
    outside = ((y < 0) | (y >= height))[:, None, :, None] | ((x < 0) | (x >= width))[:, None, None, :]
    return out.masked_fill_(outside, 0)


def _reflect(place: Tensor, side: int) -> Tensor:
    last = side - 1
    return last - (last - place.abs()).abs()


def _draw_offsets(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    rows, height, width = images.shape[0], images.shape[2], images.shape[3]
    down, right = (_draw_below(2 * pad_of(side) + 1, rows, images, generator) - pad_of(side) for side in (height, width))
    return down, right


def _draw_flips(images: Tensor, generator: torch.Generator) -> Tensor:
    return _draw_below(2, images.shape[0], images, generator) == 1


def _draw_below(bound: int, rows: int, images: Tensor, generator: torch.Generator) -> Tensor:
    """Whole numbers 0 to bound - 1, `[rows]`."""
    drawn = torch.randint(bound, (rows,), generator=generator, device=generator.device)
    return drawn.to(images.device, non_blocking=True)


def _check_images(images: Tensor) -> None:
    if images.ndim != 4:
        raise ArgumentError("images", "a batch of images [N, C, H, W]", f"shape {list(images.shape)}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ArgumentError("images", "uint8 or floating point", images.dtype)
