"""Pictures of a labelled cloud, as PNG: seen from the front, the side and above."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

from steelyard.report.palette import COLOURS

WIDTH = 720
"""Pixels of the longer side."""
GROUND = (250, 250, 248)
LEFT_OUT = (205, 205, 200)
WOOD, LEAF = (0xA8, 0x47, 0x0E), (0x2F, 0x9E, 0x6E)
VIEWS = {"front": (0, 2, 1, 1.0), "side": (1, 2, 0, -1.0), "above": (0, 1, 2, -1.0)}
"""Axes to the right and up, the axis of depth, and its sign: points farther away are painted first."""


def colours_of(names: Sequence[str]) -> list[tuple[int, int, int]]:
    """A colour a class: brown for wood and green for leaf, others from the palette of the report."""
    known = {"wood": WOOD, "leaf": LEAF}
    rest = [_rgb(light) for light, _ in COLOURS]
    return [known.get(name.lower(), rest[number % len(rest)]) for number, name in enumerate(names)]


def pictures(xyz: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> dict[str, str]:
    """The views as data addresses of PNG images, by name; nearer points hide those behind them.

    Args:
        xyz: coordinates `[N, 3]`.
        classes: class of each point `[N]`, -1 for one that was left out.
        names: of the classes.

    Example:
        >>> sorted(pictures(np.zeros((1, 3)), np.array([0]), ["wood"]))
        ['above', 'front', 'side']
    """
    colours = np.array([*colours_of(names), LEFT_OUT], np.uint8)
    low, high = xyz.min(0), xyz.max(0)
    return {
        view: _png(_drawn(xyz - low, high - low, colours[classes], axes)) for view, axes in VIEWS.items()
    }  # class -1 is the last colour


def _drawn(xyz: np.ndarray, extent: np.ndarray, colour: np.ndarray, axes: tuple[int, int, int, float]) -> np.ndarray:
    right, up, depth, sign = axes
    scale = (WIDTH - 1) / max(float(extent[[right, up]].max()), 1e-9)
    width, height = (max(round(float(extent[a]) * scale), 1) + 2 for a in (right, up))
    image = np.full((height, width, 3), GROUND, np.uint8)
    order = np.argsort(-sign * xyz[:, depth], kind="stable")
    column = np.round(xyz[order, right] * scale).astype(np.int64)
    row = height - 2 - np.round(xyz[order, up] * scale).astype(np.int64)
    shade = _shade(xyz[order, depth] * sign, colour[order])
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        image[np.clip(row + dy, 0, height - 1), np.clip(column + dx, 0, width - 1)] = shade
    return image


def _shade(depth: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Colours a little paler with the distance, so that the eye sees depth."""
    span = max(float(np.ptp(depth)), 1e-9)
    far = 0.45 * ((depth - depth.min()) / span)[:, None]
    shaded: np.ndarray = np.round(colour * (1 - far) + np.array(GROUND) * far).astype(np.uint8)
    return shaded


def _png(image: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).quantize(128).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _rgb(text: str) -> tuple[int, int, int]:
    number = int(text[1:], 16)
    return number >> 16, number >> 8 & 255, number & 255
