"""The search of M2m by itself: the box, the start and the steps."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.data import ResidentSource
from steelyard.transforms._search import Box, Search, check_quantities


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flatness(inputs):
    """A value without a slope."""
    return inputs.flatten(1).sum(1) * 0


@given(rows=st.integers(1, 40), start=st.floats(0, 1), seed=st.integers(0, 99))
def test_every_input_has_a_start_of_its_own_length(rows, start, seed):
    """Uniform noise in 48 dimensions is 2 long on average, so it is always cut."""
    inputs = torch.randn(rows, 3, 4, 4, generator=stream(seed), dtype=torch.float64)
    moved = Search(steps=0, start=start)(inputs, stream(seed), flatness)
    lengths = (moved - inputs).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, start), rtol=1e-9, atol=1e-9)


def test_a_short_start_is_not_stretched():
    inputs = torch.zeros(1000, 2)
    lengths = Search(steps=0, start=0.5)(inputs, stream(), flatness).norm(dim=1)
    assert lengths.max() <= 0.5 + 1e-6
    assert lengths.min() < 0.1


@pytest.mark.parametrize(("rows", "each"), [(1, 0.866), (16, 0.217), (64, 0.108), (128, 0.077)])
def test_the_released_start_shrinks_with_the_batch(rows, each):
    moved = Search(steps=0, start=0.5, whole_batch_start=True)(torch.zeros(rows, 3, 32, 32), stream(), flatness)
    assert moved.flatten(1).norm(dim=1).square().mean().sqrt().item() == pytest.approx(each, abs=0.0006)


@given(
    rows=st.integers(1, 6),
    steps=st.integers(0, 5),
    step_size=st.floats(0, 1),
    start=st.floats(0, 1),
    low=st.floats(-2, 0),
    high=st.floats(0, 2),
    unit=st.floats(0.1, 10),
    seed=st.integers(0, 99),
)
def test_it_stays_in_the_box_and_near_the_seed(rows, steps, step_size, start, low, high, unit, seed):
    inputs = torch.randn(rows, 5, generator=stream(seed), dtype=torch.float64)
    towards = torch.randn(5, generator=stream(seed + 1), dtype=torch.float64)
    box = Box(low, high, unit)
    moved = Search(steps=steps, step_size=step_size, start=start, box=box)(inputs, stream(), lambda x: (x @ towards).tanh())
    assert bool((moved >= inputs.clamp_max(low)).all())  # where a seed lies outside, it may stay
    assert bool((moved <= inputs.clamp_min(high)).all())
    assert bool((((moved - inputs) / unit).norm(dim=1) <= start + steps * step_size + 1e-9).all())


def test_a_step_goes_down_the_normalised_slope_in_units_of_the_box():
    inputs, towards = torch.randn(4, 3).double(), torch.tensor([3.0, 0.0, 4.0]).double()
    moved = Search(steps=2, step_size=0.1, start=0.0)(inputs, stream(), lambda x: x @ towards)
    torch.testing.assert_close(moved, inputs - 0.2 * towards / 5)
    unit = torch.tensor([2.0, 1.0, 0.5]).double()
    moved = Search(steps=1, step_size=0.1, start=0.0, box=Box(unit=unit))(inputs, stream(), lambda x: x @ towards)
    scaled = towards * unit
    torch.testing.assert_close(moved, inputs - 0.1 * unit * scaled / scaled.norm())


def test_the_normalisation_of_images_does_not_matter():
    """In units of the channels' ranges a search on normalised images is that on images in [0, 1]."""
    mean, std = torch.tensor([0.5, 0.2]).double().view(1, 2, 1, 1), torch.tensor([0.25, 0.5]).double().view(1, 2, 1, 1)
    images = torch.rand(5, 2, 3, 3, generator=stream(), dtype=torch.float64)
    images[0], images[1] = 0.0, 1.0
    towards = torch.randn(18, generator=stream(1), dtype=torch.float64)
    source = ResidentSource(images, torch.zeros(5).long())
    box = Box.of(source, lambda raw: (raw - mean) / std)
    plain = Search(box=Box(0.0, 1.0))(images, stream(2), lambda x: (x.flatten(1) @ towards).sin())
    found = Search(box=box)((images - mean) / std, stream(2), lambda x: ((x * std + mean).flatten(1) @ towards).sin())
    torch.testing.assert_close(found * std + mean, plain, rtol=1e-6, atol=1e-6)


def test_no_slope_is_no_step():
    inputs = torch.randn(3, 4)
    assert torch.equal(Search(start=0.0)(inputs, stream(), flatness), inputs)


def test_the_box_of_rows_is_theirs_and_of_channels():
    table = {"numeric": torch.tensor([[1.0, 5.0], [3.0, 5.0]]), "categorical": torch.tensor([[1], [2]])}
    box = Box.of(ResidentSource(table, torch.tensor([0, 1])))
    assert [end.tolist() for end in (box.low, box.high, box.unit)] == [[1, 5], [3, 5], [1, 1]]
    images = torch.zeros(2, 2, 1, 2, dtype=torch.uint8)
    images[1, 0, 0, 1] = 200
    box = Box.of(ResidentSource(images, torch.tensor([0, 1])), lambda raw: raw / 100)
    assert [end.tolist() for end in (box.low, box.high, box.unit)] == [[0, 0, 0, 0], [2, 2, 0, 0], [2, 2, 1, 1]]


@pytest.mark.parametrize("inputs", [torch.zeros(2, 3, dtype=torch.uint8), {"categorical": torch.zeros(2, 1).long()}])
def test_inputs_without_quantities_are_refused_in_one_sentence(inputs):
    with pytest.raises(CombinationError, match="no floating-point numbers") as raised:
        check_quantities(inputs)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["lam", "steps", "step_size", "start"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_numbers_out_of_range_are_named(name, value):
    with pytest.raises(ArgumentError) as raised:
        Search(**{name: value})
    assert raised.value.argument == name
