"""Encoded images (PNG, WebP, JPEG, ...), in files or in a column of a table, decoded when asked for."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from steelyard.core.errors import ArgumentError, DataError

SIGNATURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WEBP", b"GIF8": "GIF", b"BM": "BMP"}
"""First bytes of common formats: Pillow otherwise tries one reader after another, which takes longer than a small image."""
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
CHUNK = 256


class Encoded(Protocol):
    """Encoded images by row number."""

    def __len__(self) -> int:
        """Images."""
        ...

    def read(self, row: int) -> bytes:
        """The bytes of an image."""
        ...

    def name(self, row: int) -> str:
        """What to call it in messages."""
        ...


@dataclass(frozen=True)
class ImageFiles:
    """Images in files, one each.

    Attributes:
        paths: `[N]`.
    """

    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, row: int) -> bytes:
        """The bytes of an image."""
        path = self.paths[row]
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {path} ({error.strerror})") from None

    def name(self, row: int) -> str:
        """Its path."""
        return str(self.paths[row])


@dataclass(frozen=True)
class ImageColumn:
    """Images in a binary column of a Parquet file.

    Attributes:
        column: a pyarrow array of binary values `[N]`.
        where: file and column, for messages.
    """

    column: Any
    where: str

    def __len__(self) -> int:
        return len(self.column)

    def read(self, row: int) -> bytes:
        """The bytes of an image."""
        value: bytes | None = self.column[row].as_py()
        return b"" if value is None else value

    def name(self, row: int) -> str:
        """File, column and row number."""
        return f"{self.where}, row {row}"


@dataclass(frozen=True)
class Decoded:
    """Images of one size.

    Attributes:
        pixels: `[N, 3, H, W]` uint8.
        grey: all were grey, so that the three channels are equal.
    """

    pixels: Tensor
    grey: bool


def decode(images: Encoded, rows: Sequence[int] | None = None, *, size: int | None = None) -> Decoded:
    """Decode images, several at a time.

    Args:
        images: what to decode.
        rows: which of them; None for all.
        size: make all images size x size (bicubic); None takes them as they are, all of one size.

    Raises:
        ArgumentError: `size` is below 1.
        DataError: an image is empty or is none, or sizes differ; the message names it.
    """
    if size is not None and size < 1:
        raise ArgumentError("resize", "at least 1 pixel, or none", size)
    chosen = range(len(images)) if rows is None else rows
    if len(chosen) == 0:
        return Decoded(torch.empty(0, 3, size or 0, size or 0, dtype=torch.uint8), True)
    first, _ = _decode_one(images, chosen[0], size)
    pixels = np.empty((len(chosen), *first.shape), dtype=np.uint8)

    def fill(start: int) -> bool:
        grey = True
        for place in range(start, min(start + CHUNK, len(chosen))):
            row = chosen[place]
            image, is_grey = _decode_one(images, row, size)
            if image.shape != first.shape:
                raise DataError(
                    f"images have different sizes: {images.name(chosen[0])} is {_size(first)} and {images.name(row)} is "
                    f"{_size(image)}: make them one size with --resize PIXELS (in Python resize=...)"
                )
            pixels[place] = image
            grey &= is_grey
        return grey

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        grey = all(list(pool.map(fill, range(0, len(chosen), CHUNK))))
    return Decoded(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), grey)


class DecodedOnDemand(Dataset[Any]):
    """A dataset that decodes images when they are asked for, in batches: for sets too large to be held decoded.

    Args:
        images: encoded.
        size: as in `decode`.
        grey: give one channel instead of three.
    """

    def __init__(self, images: Encoded, *, size: int | None, grey: bool) -> None:
        self.images, self.size, self.grey = images, size, grey

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> Tensor:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: list[int]) -> Tensor:
        """Images uint8 `[n, C, H, W]`."""
        pixels = decode(self.images, rows, size=self.size).pixels
        return pixels[:, :1].contiguous() if self.grey else pixels


def _decode_one(images: Encoded, row: int, size: int | None) -> tuple[np.ndarray, bool]:
    """An image as uint8 `[H, W, 3]`, and whether it was grey."""
    from PIL import Image

    content = images.read(row)
    if not content:
        raise DataError(f"{images.name(row)} is empty (0 bytes), not an image: remove or replace it")
    try:
        known = next((name for start, name in SIGNATURES.items() if content.startswith(start)), None)
        with Image.open(io.BytesIO(content), formats=None if known is None else (known,)) as opened:
            mode = opened.mode
            grey = mode in GREY_MODES
            if mode == "F":  # Pillow would cut everything off at 255, and numbers from 0 to 1 are as usual
                raise DataError(
                    f"{images.name(row)} has floating-point pixels, whose range is not known: save it with 8 or 16 bits"
                )
            if mode.startswith("I"):  # 16 bits, of which Pillow would cut off what is above 255 instead of scaling
                values = np.asarray(opened).astype(np.int64).clip(0, 2**16 - 1)
                image = Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
            else:
                image = opened.convert("RGB")
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{images.name(row)} has more pixels than Pillow reads: make it smaller or remove it") from None
    except Exception:
        raise DataError(f"{images.name(row)} is not an image that can be read: remove or replace it") from None
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image), grey


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
