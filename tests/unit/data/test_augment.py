"""Crop, flip, cutout and the named strengths: against loops over rows, and what they promise."""

import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName
from steelyard.core.seeds import generator
from steelyard.data import policies
from steelyard.data.augment import STRENGTHS, augment, check_strength, crop, crop_and_flip, cutout, flip, hole_of, pad_of

DRAWING = [name for name in STRENGTHS if name != "none"]


def batch(rows: int = 6, channels: int = 3, height: int = 16, width: int = 16, dtype: torch.dtype = torch.float32) -> Tensor:
    """Random images without black pixels."""
    values = torch.randint(1, 256, (rows, channels, height, width), generator=generator(0, "images"))
    return values.to(torch.uint8) if dtype == torch.uint8 else (values / 255).to(dtype)


def below(bound: int, rows: int, stream: torch.Generator) -> list[int]:
    return torch.randint(bound, (rows,), generator=stream).tolist()


def crop_slowly(images: Tensor, stream: torch.Generator, padding: str) -> Tensor:
    rows, _, height, width = images.shape
    up, left = pad_of(height), pad_of(width)
    mode = {"zero": "constant", "reflect": "reflect"}[padding]
    down, right = below(2 * up + 1, rows, stream), below(2 * left + 1, rows, stream)
    windows = []
    for row in range(rows):
        padded = torch.nn.functional.pad(images[row : row + 1].float(), (left, left, up, up), mode=mode)[0]
        windows.append(padded[:, down[row] : down[row] + height, right[row] : right[row] + width])
    return torch.stack(windows).to(images.dtype)


def flip_slowly(images: Tensor, stream: torch.Generator) -> Tensor:
    coins = below(2, len(images), stream)
    return torch.stack([image.flip(2) if coin else image for image, coin in zip(images, coins, strict=True)])


def cutout_slowly(images: Tensor, stream: torch.Generator) -> Tensor:
    rows, _, height, width = images.shape
    out = images.clone()
    middle, centre = below(height, rows, stream), below(width, rows, stream)
    for row in range(rows):
        top, left = middle[row] - hole_of(height) // 2, centre[row] - hole_of(width) // 2
        out[row, :, max(top, 0) : top + hole_of(height), max(left, 0) : left + hole_of(width)] = 0
    return out


shapes = st.tuples(st.integers(1, 5), st.sampled_from([1, 2, 3, 4]), st.integers(4, 40), st.integers(4, 40))
dtypes = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.uint8])


@given(shape=shapes, dtype=dtypes, seed=st.integers(0, 1000))
def test_fast_routines_equal_loops_over_rows(shape, dtype, seed):
    images = batch(*shape, dtype)
    for padding in ("zero", "reflect"):
        want = crop_slowly(images, generator(seed), padding)
        assert torch.equal(crop(images, generator(seed), padding=padding), want)
        stream = generator(seed)
        want = flip_slowly(crop_slowly(images, stream, padding), stream)
        assert torch.equal(crop_and_flip(images, generator(seed), padding=padding), want)
    assert torch.equal(flip(images, generator(seed)), flip_slowly(images, generator(seed)))
    assert torch.equal(cutout(images, generator(seed)), cutout_slowly(images, generator(seed)))


def test_sizes_scale_with_the_image():
    assert [pad_of(side) for side in (1, 3, 4, 8, 12, 28, 32, 64)] == [0, 0, 1, 1, 2, 4, 4, 8]
    assert [hole_of(side) for side in (1, 8, 28, 32, 33, 64)] == [1, 4, 14, 16, 17, 32]


def test_half_of_the_images_are_flipped_and_offsets_are_uniform():
    rows = 20_000
    images = torch.arange(8 * 8, dtype=torch.float32).reshape(1, 1, 8, 8).expand(rows, 1, 8, 8) + 1
    mirrored = (flip(images, generator(0))[:, 0, 0, 0] != images[:, 0, 0, 0]).float().mean().item()
    assert abs(mirrored - 0.5) < 4 * (0.25 / rows) ** 0.5
    # The pixel in the middle of the window tells the offset: 3 x 3 places for 8x8 images.
    _, seen = torch.unique(crop(images, generator(0))[:, 0, 4, 4], return_counts=True)
    assert len(seen) == 9
    assert bool(((seen / rows - 1 / 9).abs() < 4 * (1 / 9 / rows) ** 0.5).all())


def test_cutout_of_a_cifar_image_covers_16_pixels_a_side_at_most():
    hidden = (cutout(torch.ones(2000, 3, 32, 32), generator(0)) == 0)[:, 0]
    per_row, per_column = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert (int(per_row.max()), int(per_column.max())) == (16, 16)
    assert (int(per_row.min()), int(per_column.min())) == (8, 8)
    assert torch.equal(hidden.sum((1, 2)), per_row * per_column)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8])
@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 32), (4, 12), (1, 2)])
def test_shape_dtype_range_and_source(strength, dtype, channels, side):
    images = batch(20, channels, side, side, dtype)
    before = images.clone()
    out = augment(images, strength, generator(0))
    assert out.shape == images.shape
    assert out.dtype == dtype
    assert float(out.min()) >= 0 and float(out.max()) <= (255 if dtype == torch.uint8 else 1)
    assert torch.equal(images, before)


@pytest.mark.parametrize("strength", DRAWING)
def test_same_state_same_images_and_the_global_generator_is_left_alone(strength):
    images, other = batch(32), generator(1)
    state = torch.get_rng_state()
    one = augment(images, strength, generator(0))
    assert torch.equal(one, augment(images, strength, generator(0)))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(one, augment(images, strength, other))
    assert not torch.equal(augment(images, strength, other), augment(images, strength, other))


@pytest.mark.parametrize("strength", DRAWING)
def test_rows_draw_for_themselves(strength):
    same = batch(1).expand(64, 3, 16, 16)
    assert len(torch.unique(augment(same, strength, generator(0)).flatten(1), dim=0)) > 1


@pytest.mark.parametrize("strength", DRAWING)
def test_one_image_and_none(strength):
    assert augment(batch(1), strength, generator(0)).shape == (1, 3, 16, 16)
    assert augment(batch(1)[:0], strength, generator(0)).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("strength", DRAWING)
def test_memory_order_does_not_matter(strength):
    images = batch(16)
    shuffled = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augment(images, strength, generator(0)), augment(shuffled, strength, generator(0)))


def test_none_draws_nothing_and_needs_no_generator():
    images = batch()
    assert augment(images, "none", None) is images


def test_unknown_strength_has_a_suggestion():
    with pytest.raises(UnknownName, match="did you mean 'crop-flip'"):
        augment(batch(), "crop_flip", generator(0))
    with pytest.raises(UnknownName, match="augmentation 'mixup'"):
        check_strength("mixup")


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (torch.zeros(3, 8, 8), "shape"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.int64), "int64"),
        (torch.full((2, 1, 8, 8), 2.0), "to 2"),
        (torch.full((2, 1, 8, 8), -0.5), "-0.5"),
        (torch.full((2, 1, 8, 8), float("nan")), "nan"),
    ],
)
def test_refuses_what_is_not_an_image_batch(images, found):
    with pytest.raises(ArgumentError, match=f"`images`.*{found}"):
        augment(images, "trivial", generator(0))


def test_refuses_no_generator_and_unknown_padding():
    with pytest.raises(ArgumentError, match="`generator`"):
        augment(batch(), "flip", None)
    with pytest.raises(ArgumentError, match="`padding`"):
        crop(batch(), generator(0), padding="wrap")


@pytest.mark.parametrize("strength", ["trivial", "auto-cutout"])
def test_without_kornia_the_error_names_the_extra(strength, monkeypatch):
    for name in ("kornia", "kornia.enhance", "kornia.geometry", "kornia.geometry.transform"):
        monkeypatch.setitem(sys.modules, name, None)
    policies.kornia.cache_clear()
    with pytest.raises(SteelyardError, match=r"kornia.*steelyard\[vision\]"):
        augment(batch(64), strength, generator(0))
    policies.kornia.cache_clear()
