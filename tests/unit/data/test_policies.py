"""TrivialAugment and AutoAugment: single operations against PIL, batches against loops over rows, the spaces drawn from."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from steelyard.core.seeds import generator
from steelyard.data import policies
from steelyard.data.policies import CIFAR10, OPERATIONS, apply, autoaugment, trivialaugment

SIDE = 24


def batch(rows: int = 1, channels: int = 3, side: int = SIDE) -> Tensor:
    """Smooth random images with 8-bit values, as floats."""
    coarse = torch.rand(rows, channels, 5, 5, generator=generator(0, "images"))
    fine = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1) * 0.8 + 0.1
    return (fine * 255).round() / 255


def alone(image: Tensor, name: str, magnitude: float, fill: float = 0.0) -> Tensor:
    number = torch.tensor([OPERATIONS.index(name)])
    return apply(image, number, torch.tensor([magnitude]), fill=fill)


def to_pil(image: Tensor) -> Image.Image:
    return Image.fromarray((image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())


def from_pil(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


# As in the released code of the two papers.
WITH_PIL = {
    "identity": lambda i, m: i,
    "brightness": lambda i, m: ImageEnhance.Brightness(i).enhance(1 + m),
    "color": lambda i, m: ImageEnhance.Color(i).enhance(1 + m),
    "contrast": lambda i, m: ImageEnhance.Contrast(i).enhance(1 + m),
    "sharpness": lambda i, m: ImageEnhance.Sharpness(i).enhance(1 + m),
    "posterize": lambda i, m: ImageOps.posterize(i, int(m)),
    "solarize": lambda i, m: ImageOps.solarize(i, round(m * 255)),
    "autocontrast": lambda i, m: ImageOps.autocontrast(i),
    "equalize": lambda i, m: ImageOps.equalize(i),
    "invert": lambda i, m: ImageOps.invert(i),
    "shear-x": lambda i, m: affine(i, 1, m, 0, 0, 1, 0),
    "shear-y": lambda i, m: affine(i, 1, 0, 0, m, 1, 0),
    "translate-x": lambda i, m: affine(i, 1, 0, m, 0, 1, 0),
    "translate-y": lambda i, m: affine(i, 1, 0, 0, 0, 1, m),
    "rotate": lambda i, m: i.rotate(m),
}
MAGNITUDES = {
    **dict.fromkeys(("brightness", "color", "contrast", "sharpness"), (-0.9, -0.31, 0.0, 0.47, 0.99)),
    "posterize": (8, 7, 6, 4, 2),
    "solarize": (0.0, 0.2, 128 / 255, 0.8, 1.0),
    **dict.fromkeys(("shear-x", "shear-y"), (-0.99, -0.31, 0.0, 0.13, 0.7)),
    **dict.fromkeys(("translate-x", "translate-y"), (-24.0, -3.0, 0.0, 5.0, 23.0)),
    "rotate": (-133.0, -30.0, 0.0, 90.0, 17.3),
}


def test_every_operation_has_a_reference():
    assert set(WITH_PIL) == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_agrees_with_pil(name):
    for magnitude in MAGNITUDES.get(name, (0.0,)):
        image = batch()
        got, want = alone(image, name, magnitude), from_pil(WITH_PIL[name](to_pil(image), magnitude))
        off = (got - want).abs()
        if name in policies.OPERATIONS[policies.FIRST_WARP :]:
            # Pixels half way between two others may go either way.
            assert (off > 1e-6).float().mean() < 0.02, magnitude
        else:
            # PIL rounds intermediate results (the blurred or grey image, the mean, the look-up table) down to 8 bits.
            assert off.max() <= 2.01 / 255, magnitude


def test_uncovered_pixels_are_filled():
    image = torch.ones(1, 3, SIDE, SIDE)
    moved = alone(image, "translate-x", 10.0, fill=0.25)
    assert torch.equal(moved[..., :14], image[..., :14])
    assert torch.equal(moved[..., 14:], torch.full_like(moved[..., 14:], 0.25))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_mixed_batch_equals_a_loop_over_rows(channels):
    rows = 150
    images = batch(rows, channels)
    stream = generator(0, "drawn")
    number = torch.randint(len(OPERATIONS), (rows,), generator=stream)
    magnitude = torch.tensor(
        [MAGNITUDES.get(OPERATIONS[n], (0.0,) * 5)[k % 5] for k, n in enumerate(number.tolist())], dtype=torch.float32
    )
    want = [apply(images[k : k + 1], number[k : k + 1], magnitude[k : k + 1], fill=0.3) for k in range(rows)]
    torch.testing.assert_close(apply(images, number, magnitude, fill=0.3), torch.cat(want), rtol=0, atol=1e-6)


def test_magnitude_zero_changes_nothing():
    image = batch(3)
    for name in ("brightness", "color", "contrast", "sharpness", "shear-x", "shear-y", "translate-x", "translate-y", "rotate"):
        number = torch.full((3,), OPERATIONS.index(name))
        torch.testing.assert_close(apply(image, number, torch.zeros(3), fill=0.0), image, rtol=0, atol=1e-6)


def test_flat_and_tiny_images_stay_finite():
    for image in (torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8), torch.full((1, 1, 2, 2), 0.5), torch.zeros(1, 1, 1, 1)):
        for name in OPERATIONS:
            out = alone(image, name, MAGNITUDES.get(name, (0.0,))[0])
            assert bool(torch.isfinite(out).all()), name


def test_grey_images_keep_their_colour():
    image = batch(1, 1)
    assert torch.equal(alone(image, "color", 0.9), image)


@pytest.fixture
def drawn(monkeypatch):
    """What the policies hand to `apply`: (operations, magnitudes, fill) of each pass."""
    seen = []

    def spy(images, operation, magnitude, *, fill):
        seen.append((operation, magnitude, fill))
        return images

    monkeypatch.setattr(policies, "apply", spy)
    return seen


def test_trivialaugment_draws_14_operations_alike_from_the_wide_space(drawn):
    rows = 28_000
    trivialaugment(torch.zeros(1, 1, 32, 32).expand(rows, 1, 32, 32), generator(0))
    [(operation, magnitude, fill)] = drawn
    share = torch.bincount(operation, minlength=len(OPERATIONS)) / rows
    assert fill == 0.0
    assert share[OPERATIONS.index("invert")] == 0
    used = share[[n for n, name in enumerate(OPERATIONS) if name != "invert"]]
    assert bool(((used - 1 / 14).abs() < 4 * (1 / 14 / rows) ** 0.5).all())
    want = {
        **dict.fromkeys(("brightness", "color", "contrast", "sharpness", "shear-x", "shear-y"), (-0.99, 0.99, 61)),
        "posterize": (2, 8, 7),
        "solarize": (0.0, 1.0, 31),
        **dict.fromkeys(("translate-x", "translate-y"), (-32, 32, 61)),
        "rotate": (-135, 135, 61),
    }
    for name, (low, high, values) in want.items():
        mine = magnitude[operation == OPERATIONS.index(name)]
        assert (mine.min().item(), mine.max().item()) == (pytest.approx(low), pytest.approx(high)), name
        assert len(torch.unique(mine)) == values, name


def test_autoaugment_applies_its_sub_policies_with_their_probabilities(drawn):
    rows = 50_000
    autoaugment(torch.zeros(1, 1, 32, 32).expand(rows, 1, 32, 32), generator(0))
    assert len(drawn) == 2
    for step, (operation, _, fill) in enumerate(drawn):
        assert fill == pytest.approx(128 / 255)
        got = torch.bincount(operation, minlength=len(OPERATIONS)) / rows
        want = torch.zeros(len(OPERATIONS))
        for pair in CIFAR10:
            name, chance, _ = pair[step]
            want[OPERATIONS.index(name)] += chance / 25
            want[0] += (1 - chance) / 25
        assert bool(((got - want).abs() < 4 * (want / rows).sqrt() + 1e-9).all())


def test_autoaugment_magnitudes(drawn):
    autoaugment(torch.zeros(1, 1, 32, 32).expand(20_000, 1, 32, 32), generator(0))
    operation, magnitude = (torch.cat([step[k] for step in drawn]) for k in (0, 1))

    def values(name: str) -> list[float]:
        return sorted({round(v, 4) for v in magnitude[operation == OPERATIONS.index(name)].tolist()})

    assert values("translate-x") == [-14, -12, 12, 14]
    assert values("rotate") == [-6.6667, 6.6667]
    assert values("posterize") == [5]
    assert values("color") == pytest.approx([-0.9, -0.8, -0.7, -0.3, 0.0, 0.3, 0.7, 0.8, 0.9], abs=1e-3)
    assert values("solarize") == pytest.approx([1 / 9, 4 / 9, 6 / 9, 7 / 9], abs=1e-3)


def test_the_policy_is_the_one_kornia_has():
    table = pytest.importorskip("kornia.augmentation.auto.autoaugment.autoaugment").cifar10_policy
    spelt = {"auto_contrast": "autocontrast"}
    assert (
        tuple(
            tuple((spelt.get(name, name.replace("_", "-")), chance, number or 0) for name, chance, number in pair)
            for pair in table
        )
        == CIFAR10
    )


@pytest.mark.parametrize("policy", [trivialaugment, autoaugment])
def test_bytes_and_floats_agree(policy):
    images = batch(100)
    as_bytes = policy((images * 255).round().to(torch.uint8), generator(0))
    assert ((as_bytes.float() / 255) - policy(images, generator(0))).abs().max() <= 0.51 / 255
