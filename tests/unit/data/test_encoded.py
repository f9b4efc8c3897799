from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.encoded import CHUNK, DecodedOnDemand, ImageColumn, ImageFiles, decode

RNG = np.random.default_rng(0)


def encoded(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(buffer, kind)
    return buffer.getvalue()


def column(*contents: bytes | None) -> ImageColumn:
    return ImageColumn(pa.array(contents, pa.binary()), "pics.parquet, column 'image'")


def colours(rows: int = 3, height: int = 5, width: int = 7) -> np.ndarray:
    return RNG.integers(0, 256, (rows, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "PPM"])
def test_lossless_formats_come_back_as_they_were(kind: str) -> None:
    pixels = colours()
    images = [encoded(image, kind) if kind != "WEBP" else webp(image) for image in pixels]
    found = decode(column(*images))
    assert torch.equal(found.pixels, torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert not found.grey


def webp(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def test_many_images_keep_their_order() -> None:
    pixels = colours(2 * CHUNK + 3, 2, 2)
    rows = torch.randperm(len(pixels)).tolist()
    found = decode(column(*(encoded(image) for image in pixels)), rows)
    assert torch.equal(found.pixels, torch.from_numpy(pixels[rows]).permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("mode", "grey"), [("1", True), ("L", True), ("LA", True), ("P", False), ("RGBA", False), ("RGB", False)]
)
def test_every_mode_gives_three_channels(mode: str, grey: bool) -> None:
    found = decode(column(encoded(colours(1)[0], mode=mode)))
    assert found.pixels.shape == (1, 3, 5, 7)
    assert found.grey is grey
    if grey:
        assert torch.equal(found.pixels[:, 0], found.pixels[:, 1])


def test_one_image_in_colour_makes_all_coloured() -> None:
    pixels = colours(2)
    assert not decode(column(encoded(pixels[0], mode="L"), encoded(pixels[1]))).grey


def test_sixteen_bits_keep_their_upper_eight() -> None:
    values = RNG.integers(0, 2**16, (5, 7), dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        found = decode(column(encoded(values, kind)))
        assert found.grey
        assert np.array_equal(found.pixels[0, 0].numpy(), (values >> 8).astype(np.uint8))


def test_floating_point_pixels_have_no_known_range() -> None:
    with pytest.raises(DataError, match="row 0 has floating-point pixels"):
        decode(column(encoded(np.zeros((4, 4), np.float32), "TIFF")))


def test_sizes_must_agree_or_be_made_to() -> None:
    images = column(encoded(colours(1, 5, 7)[0]), encoded(colours(1, 6, 6)[0]))
    with pytest.raises(DataError, match=r"row 0 is 7x5 and .*row 1 is 6x6: make them one size with --resize"):
        decode(images)
    assert decode(images, size=4).pixels.shape == (2, 3, 4, 4)
    with pytest.raises(ArgumentError, match="resize"):
        decode(images, size=0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_truncated_images_are_named(kind: str) -> None:
    content = encoded(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), kind)
    with pytest.raises(DataError, match="column 'image', row 1 is not an image that can be read"):
        decode(column(content, content[: len(content) // 2]))


@pytest.mark.parametrize("content", [b"hello", b"\x89PNG\r\n\x1a\n", b"BM", b"\x00" * 100])
def test_what_is_no_image_is_named(content: bytes) -> None:
    with pytest.raises(DataError, match="row 0 is not an image that can be read"):
        decode(column(content))


@pytest.mark.parametrize("content", [b"", None])
def test_empty_images_are_named(content: bytes | None) -> None:
    with pytest.raises(DataError, match=r"row 0 is empty \(0 bytes\)"):
        decode(column(content))


def test_an_image_of_too_many_pixels_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="row 0 has more pixels than Pillow reads"):
        decode(column(encoded(colours(1)[0])))


def test_files_are_read_by_name(tmp_path: Path) -> None:
    pixels = colours(2)
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, image in zip(paths, pixels, strict=True):
        path.write_bytes(encoded(image))
    images = ImageFiles(paths)
    assert torch.equal(decode(images).pixels, torch.from_numpy(pixels).permute(0, 3, 1, 2))
    paths[1].unlink()
    with pytest.raises(DataError, match=r"cannot read .*1.png"):
        decode(images)


def test_on_demand_gives_what_decoding_at_once_gives() -> None:
    pixels = colours(6)
    images = column(*(encoded(image, mode="L") for image in pixels))
    at_once, lazily = decode(images).pixels, DecodedOnDemand(images, size=None, grey=True)
    assert len(lazily) == 6
    assert torch.equal(lazily.__getitems__([4, 1]), at_once[[4, 1], :1])
    assert torch.equal(lazily[3], at_once[3, :1])
    assert decode(images, []).pixels.shape[0] == 0
