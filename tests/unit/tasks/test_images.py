from __future__ import annotations

import pytest
import torch

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.data.resident import ResidentSource
from steelyard.tasks.images import STATISTICS_ROWS, ImageTask, channel_statistics

IMAGES = torch.randint(0, 256, (30, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
TARGET = torch.arange(30) % 3


def task(images: torch.Tensor = IMAGES, **settings: object) -> ImageTask:
    return ImageTask("mine", ["a", "b", "c"], {"train": ResidentSource(images, TARGET[: len(images)])}, **settings)  # type: ignore[arg-type]


def test_training_images_have_mean_zero_and_standard_deviation_one() -> None:
    loaded = task().load(IMAGES, augment="none", generator=None)
    assert loaded.dtype == torch.float32
    assert torch.allclose(loaded.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(loaded.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)


def test_bytes_and_floats_are_the_same_images() -> None:
    floats = IMAGES.float() / 255
    one, other = (task(images).load(images, augment="none", generator=None) for images in (IMAGES, floats))
    assert torch.allclose(one, other, atol=1e-5)


def test_a_channel_that_never_changes_is_only_shifted() -> None:
    flat = torch.full((4, 1, 2, 2), 100, dtype=torch.uint8)
    made = task(flat)
    assert made.std.tolist() == [1.0]
    assert made.load(flat, augment="none", generator=None).abs().max() < 1e-6


def test_statistics_of_many_images_are_taken_over_evenly_spaced_ones() -> None:
    rows = 2 * STATISTICS_ROWS
    images = (torch.arange(rows) % 256).to(torch.uint8).view(-1, 1, 1, 1)
    mean, std = channel_statistics(ResidentSource(images, torch.zeros(rows)))
    whole = images.double() / 255
    assert abs(float(mean) - float(whole.mean())) < 0.01 and abs(float(std) - float(whole.std())) < 0.01


def test_strong_augmentation_is_trivial_augment() -> None:
    pytest.importorskip("kornia")
    made = task()
    strong, named = (made.load(IMAGES, augment=a, generator=torch.Generator().manual_seed(1)) for a in ("strong", "trivial"))
    assert torch.equal(strong, named)
    assert not torch.equal(strong, made.load(IMAGES, augment="none", generator=None))


def test_augmentation_draws_from_the_generator_it_is_given() -> None:
    made = task()
    before = torch.get_rng_state()
    one, same, other = (
        made.load(IMAGES, augment="crop-flip", generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(UnknownName, match=r"unknown augmentation .everything."):
        made.load(IMAGES, augment="everything", generator=None)


def test_the_usual_model_goes_by_the_size() -> None:
    assert task().model_name == "small-cnn"
    large = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    made = task(large)
    assert made.model_name == "resnet32"
    assert made.model().eval()(made.load(large, augment="none", generator=None)).shape == (3, 3)
    assert task(model="mlp").model()(made.load(IMAGES, augment="none", generator=None)).shape == (30, 3)


def test_inputs_must_be_images() -> None:
    with pytest.raises(ArgumentError, match="images"):
        ImageTask("mine", ["a", "b"], {"train": ResidentSource(torch.zeros(4, 5), torch.tensor([0, 1, 0, 1]))})
