"""Steps uphill, against formulas."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.numeric.ascent import class_radius, length, stretched, uphill, uphill_by_size


def tensors(seed: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=stream).to(dtype) for shape in ((3, 4), (), (5,))]


@given(st.integers(0, 1000))
def test_length_is_that_of_one_long_vector(seed):
    parts = tensors(seed)
    torch.testing.assert_close(length(parts), torch.cat([part.flatten() for part in parts]).norm())


def test_length_is_at_least_float32():
    parts = tensors(0, torch.bfloat16)
    assert length(parts).dtype == torch.float32
    torch.testing.assert_close(length(parts), length([part.float() for part in parts]))
    assert length(tensors(0, torch.float64)).dtype == torch.float64
    assert length([torch.ones(1), torch.ones(1, dtype=torch.float64)]).dtype == torch.float64


@given(st.integers(0, 1000), st.floats(0.01, 5), st.floats(1e-6, 1e6))
def test_a_step_has_length_rho_and_the_gradient_s_direction_whatever_its_scale(seed, rho, scale):
    gradients = tensors(seed)
    steps = uphill([scale * value for value in gradients], rho)
    torch.testing.assert_close(length(steps), torch.tensor(rho))
    for step, value in zip(steps, gradients, strict=True):
        torch.testing.assert_close(step, rho * value / length(gradients))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_types_and_shapes_stay(dtype):
    gradients = tensors(0, dtype)
    for steps in (uphill(gradients, 0.1), uphill_by_size(gradients, gradients, 0.1)):
        assert [(step.dtype, step.shape) for step in steps] == [(value.dtype, value.shape) for value in gradients]


@pytest.mark.parametrize("small", [0.0, 1e-30, 1e-20])
def test_gradients_of_next_to_nothing_give_steps_of_next_to_nothing(small):
    steps = uphill([torch.full((3,), small)], 0.5)
    assert bool((steps[0] <= 1e-6).all())


def test_infinite_gradients_are_not_hidden():
    assert not bool(torch.cat(uphill([torch.tensor([float("inf"), 1.0])], 0.5)).isfinite().all())


@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_a_step_by_size_does_not_see_how_layers_are_scaled(seed, factor):
    """theta -> a theta leaves g -> g / a: the step relative to the parameters is the same."""
    gradients, params = tensors(seed), tensors(seed + 1)
    scaled = [params[0] * factor, *params[1:]]
    pulled = [gradients[0] / factor, *gradients[1:]]
    one, two = uphill_by_size(gradients, params, 0.3), uphill_by_size(pulled, scaled, 0.3)
    torch.testing.assert_close(one[0] * factor, two[0])
    torch.testing.assert_close(length([step / value for step, value in zip(one, params, strict=True)]), torch.tensor(0.3))


def test_stretched():
    assert torch.equal(stretched([torch.ones(2)], torch.tensor(3.0))[0], torch.full((2,), 3.0))


@given(st.integers(2, 10_000), st.integers(2, 10_000), st.floats(1e-3, 1e3))
def test_radius_falls_with_the_fourth_root_of_class_size(a, b, size):
    radius = class_radius(torch.tensor(1.0), torch.full((2,), size), 40, torch.tensor([a, b]))
    torch.testing.assert_close(radius[0] / radius[1], torch.tensor(((b - 1) / (a - 1)) ** 0.25))
    torch.testing.assert_close(radius[0], torch.tensor(40**0.25 * (1 / (2 * size)) ** 0.5 * (a - 1) ** -0.25))


def test_radius_of_small_classes_and_zero_gradients():
    radius = class_radius(torch.tensor(1.0), torch.tensor([1.0, 1.0, 1.0, 0.0]), 16, torch.tensor([0, 1, 2, 5]))
    assert radius[0] == radius[1] == radius[2]
    assert radius[3] == 0
