"""TrivialAugment and AutoAugment for batches: every row draws an operation and a magnitude of its own.

The rows that drew the same operation are gathered and changed together by kornia's functionals; shears, translations and
rotations are one warp with a matrix a row. Where the number of rows an operation got has to be known on the host, it is read
once a pass for all operations together.

Departures from the papers' PIL versions:
    - Translations are cut off at the image's side (32 pixels at most); for 32x32 images this changes nothing.
    - Colour leaves images without exactly 3 channels as they are; contrast is about the mean of all channels there. Sharpness
      leaves images with a side below 3 as they are.
    - AutoAugment's magnitudes are those of the PyTorch ports (torchvision's and the one in most long-tail code): shears,
      translations, rotations and the four enhancements get a random sign, and an enhancement of magnitude m is by 1 + m or
      1 - m; the original code used 0.1 to 1.9 without a sign.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, SteelyardError

OPERATIONS = (
    "identity", "brightness", "color", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize", "invert",
    "shear-x", "shear-y", "translate-x", "translate-y", "rotate",
)  # fmt: skip
"""Operations by number."""

FIRST_WARP = OPERATIONS.index("shear-x")
SIGNED = frozenset({"brightness", "color", "contrast", "sharpness", *OPERATIONS[FIRST_WARP:]})

# Two (operation, probability, magnitude bin) in a row, as in Table 7 of the AutoAugment paper.
CIFAR10 = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate-x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear-y", 0.5, 8), ("translate-y", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear-y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate-x", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translate-y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("color", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translate-y", 0.9, 9), ("translate-y", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate-y", 0.7, 9), ("autocontrast", 0.9, 0)),
)

GREY = 128 / 255


@cache
def kornia(room: str) -> ModuleType:
    """A module of kornia.

    Raises:
        SteelyardError: kornia is missing; the message names the extra.
    """
    try:
        return importlib.import_module(f"kornia.{room}")
    except ImportError as error:
        raise SteelyardError(
            "augmentations 'trivial' and 'auto-cutout' need the package kornia: pip install 'steelyard[vision]'"
        ) from error


def trivialaugment(images: Tensor, generator: torch.Generator) -> Tensor:
    """One operation a row, drawn from 14 alike, with a magnitude drawn from 31 bins: the paper's "Wide" space.

    Args:
        images: `[N, C, H, W]`, uint8 or floats in [0, 1].
        generator: drawn from: three numbers a row.

    Returns:
        New images of the same dtype. Uncovered pixels are black.

    Reference:
        Mueller, Hutter. TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation. ICCV 2021.

    Departures:
        See the head of this module.
    """
    table = _wide_table(images.shape[2], images.shape[3], images.device)
    choices = _wide_choices(images.device)
    drawn = _draw((len(choices), table.shape[1], 2), images, generator)
    operation = choices[drawn[:, 0]]
    magnitude = _signed(table[operation, drawn[:, 1]], operation, drawn[:, 2])
    unit = _to_unit(images)
    return _from_unit(apply(unit, operation, magnitude, fill=0.0), images.dtype)


def autoaugment(images: Tensor, generator: torch.Generator) -> Tensor:
    """One of the 25 sub-policies found on CIFAR-10 a row: two operations, each with its probability and magnitude.

    Args:
        images: `[N, C, H, W]`, uint8 or floats in [0, 1].
        generator: drawn from: five numbers a row.

    Returns:
        New images of the same dtype. Uncovered pixels are grey (128), as in the original code.

    Reference:
        Cubuk, Zoph, Mane, Vasudevan, Le. AutoAugment: Learning Augmentation Strategies from Data. CVPR 2019, Table 7.

    Departures:
        See the head of this module.
    """
    device = images.device
    operations, chances, bins = _policy(device)
    table = _narrow_table(images.shape[2], images.shape[3], device)
    drawn = _draw((len(CIFAR10), 2, 2), images, generator)
    luck = torch.rand(len(images), 2, generator=generator, device=generator.device).to(device, non_blocking=True)
    unit = _to_unit(images)
    for step in range(2):
        operation = operations[drawn[:, 0], step]
        magnitude = _signed(table[operation, bins[drawn[:, 0], step]], operation, drawn[:, 1 + step])
        happens = luck[:, step] < chances[drawn[:, 0], step]
        unit = apply(unit, torch.where(happens, operation, 0), magnitude, fill=GREY)
    return _from_unit(unit, images.dtype)


def apply(images: Tensor, operation: Tensor, magnitude: Tensor, *, fill: float) -> Tensor:
    """Change each image by its own operation and magnitude.

    Args:
        images: `[N, C, H, W]`, floats in [0, 1].
        operation: numbers of `OPERATIONS` `[N]`, int64.
        magnitude: `[N]`: of an enhancement, m of the factor 1 + m; bits kept by posterize; threshold of solarize in
            [0, 1]; slope of a shear; pixels of a translation (whole, to the left or up); degrees of a rotation,
            counter-clockwise. Other operations have none.
        fill: value of uncovered pixels.

    Returns:
        New images `[N, C, H, W]`.
    """
    group = operation.clamp(max=FIRST_WARP)
    magnitude = magnitude.to(images.dtype)
    order = torch.argsort(group, stable=True)
    sizes = torch.bincount(group, minlength=FIRST_WARP + 1).tolist()
    out = images.clone()
    for number, rows in enumerate(torch.split(order, sizes)):
        if number == 0 or len(rows) == 0:
            continue
        chosen, amount = images[rows], magnitude[rows]
        if number == FIRST_WARP:
            out[rows] = _warp(chosen, operation[rows], amount, fill)
        else:
            out[rows] = _COLOURS[OPERATIONS[number]](chosen, amount)
    return out


def _warp(images: Tensor, operation: Tensor, magnitude: Tensor, fill: float) -> Tensor:
    """Shear about the top left corner, translate, or rotate about the centre, to the nearest pixel, as PIL does."""
    height, width = images.shape[2], images.shape[3]

    def of(name: str) -> Tensor:
        return torch.where(operation == OPERATIONS.index(name), magnitude, 0.0)

    shear_x, shear_y, angle = of("shear-x"), of("shear-y"), torch.deg2rad(of("rotate"))
    cos, sin = torch.cos(angle), torch.sin(angle)
    # Forward matrices, in pixels whose centres are whole numbers: the corner is at -1/2, the centre at (side - 1) / 2.
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    to_x = centre_x * (1 - cos) - centre_y * sin - shear_x / 2 - of("translate-x")
    to_y = centre_y * (1 - cos) + centre_x * sin - shear_y / 2 - of("translate-y")
    matrix = torch.stack([cos, sin - shear_x, to_x, -sin - shear_y, cos, to_y], dim=1).reshape(-1, 2, 3)
    colour = images.new_full((images.shape[1],), fill)
    warp = kornia("geometry.transform").warp_affine
    warped: Tensor = warp(images, matrix, (height, width), mode="nearest", padding_mode="fill", fill_value=colour)
    return warped


def _color(images: Tensor, magnitude: Tensor) -> Tensor:
    if images.shape[1] != 3:
        return images
    out: Tensor = kornia("enhance").adjust_saturation_with_gray_subtraction(images, 1 + magnitude)
    return out


def _sharpness(images: Tensor, magnitude: Tensor) -> Tensor:
    if min(images.shape[2:]) < 3:
        return images
    out: Tensor = kornia("enhance").sharpness(images, 1 + magnitude)
    return out


def _autocontrast(images: Tensor, _: Tensor) -> Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp_min(1e-12), images)


_COLOURS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": lambda images, m: kornia("enhance").adjust_brightness_accumulative(images, 1 + m),
    "color": _color,
    "contrast": lambda images, m: kornia("enhance").adjust_contrast_with_mean_subtraction(images, 1 + m),
    "sharpness": _sharpness,
    "posterize": lambda images, m: kornia("enhance").posterize(images, m.to(torch.int64)),
    "solarize": lambda images, m: kornia("enhance").solarize(images, m),
    "autocontrast": _autocontrast,
    "equalize": lambda images, _: kornia("enhance").equalize(images),
    "invert": lambda images, _: kornia("enhance").invert(images),
}


# The tables below are small; they are kept on each device so that no batch waits for a copy.


@cache
def _wide_choices(device: torch.device) -> Tensor:
    """Numbers of TrivialAugment's operations `[14]`."""
    return torch.tensor([number for number, name in enumerate(OPERATIONS) if name != "invert"], device=device)


@cache
def _wide_table(height: int, width: int, device: torch.device) -> Tensor:
    """TrivialAugment's magnitudes `[operations, 31]`."""
    table = _table(31, enhance=0.99, shear=0.99, shift=(min(32.0, height), min(32.0, width)), angle=135.0)
    table[OPERATIONS.index("posterize")] = 8 - (torch.arange(31) / 5).round()
    return table.to(device)


@cache
def _narrow_table(height: int, width: int, device: torch.device) -> Tensor:
    """AutoAugment's magnitudes `[operations, 10]`."""
    table = _table(10, enhance=0.9, shear=0.3, shift=(150 / 331 * height, 150 / 331 * width), angle=30.0)
    table[OPERATIONS.index("posterize")] = 8 - (torch.arange(10) / 2.25).round()
    return table.to(device)


def _table(bins: int, *, enhance: float, shear: float, shift: tuple[float, float], angle: float) -> Tensor:
    ramp = torch.linspace(0.0, 1.0, bins)
    most = dict.fromkeys(OPERATIONS, 0.0) | dict.fromkeys(("brightness", "color", "contrast", "sharpness"), enhance)
    most |= {"shear-x": shear, "shear-y": shear, "rotate": angle}
    table = torch.stack([ramp * most[name] for name in OPERATIONS])
    table[OPERATIONS.index("translate-y")] = (ramp * shift[0] + 1e-4).floor()
    table[OPERATIONS.index("translate-x")] = (ramp * shift[1] + 1e-4).floor()
    table[OPERATIONS.index("solarize")] = torch.linspace(255, 0, bins, dtype=torch.float64).float() / 255
    return table


@cache
def _policy(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Operations, probabilities and bins of the CIFAR-10 policy, each `[25, 2]`."""
    operations = torch.tensor([[OPERATIONS.index(name) for name, _, _ in pair] for pair in CIFAR10], device=device)
    chances = torch.tensor([[chance for _, chance, _ in pair] for pair in CIFAR10], device=device)
    return operations, chances, torch.tensor([[number for _, _, number in pair] for pair in CIFAR10], device=device)


@cache
def _is_signed(device: torch.device) -> Tensor:
    return torch.tensor([name in SIGNED for name in OPERATIONS], device=device)


def _signed(magnitude: Tensor, operation: Tensor, coin: Tensor) -> Tensor:
    """Turn the sign of half of the magnitudes, where the operation has a sign."""
    turned = _is_signed(operation.device)[operation] & (coin == 1)
    return torch.where(turned, -magnitude, magnitude)


def _draw(bounds: tuple[int, ...], images: Tensor, generator: torch.Generator) -> Tensor:
    """Whole numbers below each bound, `[N, len(bounds)]`."""
    rows = len(images)
    columns = [torch.randint(bound, (rows,), generator=generator, device=generator.device) for bound in bounds]
    return torch.stack(columns, dim=1).to(images.device, non_blocking=True)


def _to_unit(images: Tensor) -> Tensor:
    """As floats in [0, 1]."""
    if images.dtype == torch.uint8:
        return images.float() / 255
    if len(images):
        low, high = torch.stack(images.aminmax()).tolist()
        if not (low >= 0 and high <= 1):
            raise ArgumentError("images", "uint8, or floats in [0, 1]: augment before normalising", f"{low:.3g} to {high:.3g}")
    return images if images.dtype == torch.float64 else images.float()


def _from_unit(images: Tensor, dtype: torch.dtype) -> Tensor:
    return (images * 255).round().to(torch.uint8) if dtype == torch.uint8 else images.to(dtype)
