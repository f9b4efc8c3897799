from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.spectrum import Multiply, Ritz, Trace, dense, hutch_plus_plus, lanczos


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def matrix(values: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """A symmetric matrix with these eigenvalues."""
    size = len(values)
    turned = torch.linalg.qr(torch.randn(size, size, generator=stream(seed), dtype=torch.float64)).Q
    return (turned * values) @ turned.T


def of(given: torch.Tensor) -> Multiply:
    return lambda columns: given @ columns


DECAYING = torch.cat([torch.tensor([9.0, 7.0, -3.0]), 0.5 / torch.arange(1, 198)]).double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ends_and_residuals_of_a_known_spectrum(dtype: torch.dtype) -> None:
    given = matrix(DECAYING).to(dtype)
    found = lanczos(of(given), given[0], 30, 2, stream(1))
    assert found.high == pytest.approx(9, rel=1e-5)
    assert found.low == pytest.approx(-3, rel=1e-5)
    assert found.converged(1e-3)
    assert not lanczos(of(given), given[0], 3, 1, stream(1)).converged(1e-3)


def test_residuals_are_those_of_the_ritz_vectors() -> None:
    values = torch.linspace(-1, 2, 80, dtype=torch.float64)
    given = matrix(values)
    found = lanczos(of(given), given[0], 12, 1, stream(0))
    # An eigenvalue lies within the residual of each Ritz value.
    for end, residual in zip((found.low, found.high), found.residuals, strict=True):
        assert float((values - end).abs().min()) <= residual
        assert residual < 0.5


def test_all_steps_give_all_eigenvalues() -> None:
    values = torch.tensor([-2.0, -1.0, 0.5, 3.0], dtype=torch.float64)
    given = matrix(values)
    (nodes,) = lanczos(of(given), given[0], 50, 1, stream(0)).nodes
    np.testing.assert_allclose(nodes, values.numpy(), atol=1e-10)


def test_repeated_eigenvalues_end_the_run_and_leave_no_doubt() -> None:
    given = matrix(torch.tensor([2.0] * 40 + [-1.0] * 60, dtype=torch.float64))
    found = lanczos(of(given), given[0], 30, 2, stream(0))
    assert found.steps == (2, 2)
    assert [found.low, found.high] == pytest.approx([-1, 2])
    assert found.reach() < 1e-9
    assert found.mean(lambda values: values) == pytest.approx(0.2, abs=0.4)


def test_nothing_but_zeros() -> None:
    found = lanczos(torch.zeros_like, torch.zeros(7), 5, 2, stream(0))
    assert (found.low, found.high, found.reach()) == (0, 0, 0)
    grid, density = found.density(50)
    assert np.isfinite(grid).all()
    assert np.isfinite(density).all()


@pytest.mark.parametrize("steps", [6, 12, 25])
def test_the_ends_lie_within_reach(steps: int) -> None:
    """A spectrum that Lanczos finds hard: spread evenly, with the ends crowded."""
    values = torch.cos(torch.linspace(0, math.pi, 300, dtype=torch.float64))
    given = matrix(values)
    for seed in range(40):
        found = lanczos(of(given), given[0], steps, 2, stream(seed))
        reach = found.reach(0.95)
        assert found.low >= -1 - 1e-9
        assert found.high <= 1 + 1e-9
        assert found.low - reach <= -1
        assert found.high + reach >= 1
    if steps == 25:
        assert 0 < reach < 0.2


def test_reach_shrinks_with_steps_and_grows_with_the_level() -> None:
    given = matrix(torch.linspace(-1, 1, 400, dtype=torch.float64))
    few, many = (lanczos(of(given), given[0], steps, 1, stream(0)) for steps in (20, 40))
    assert many.reach() < few.reach()
    assert many.reach(0.99) > many.reach(0.9)


def test_density_is_a_density_and_finds_the_bulk() -> None:
    given = matrix(torch.cat([torch.zeros(150), torch.full((50,), 4.0)]).double())
    found = lanczos(of(given), given[0], 20, 20, stream(3))
    grid, density = found.density(400)
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)
    assert np.trapezoid(density[grid > 2], grid[grid > 2]) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("products", [12, 30])
def test_trace_intervals_hold(products: int) -> None:
    given = matrix(DECAYING)
    truth = float(DECAYING.sum())
    drawn = [hutch_plus_plus(of(given), given[0], products, stream(seed)) for seed in range(200)]
    within = [one.interval(0.9)[0] <= truth <= one.interval(0.9)[1] for one in drawn]
    assert 0.83 <= np.mean(within) <= 0.97
    values = np.array([one.value for one in drawn])
    assert values.mean() == pytest.approx(truth, abs=4 * values.std() / math.sqrt(200))
    # Standard errors are as large as what they are about.
    assert np.sqrt(np.mean(np.square([one.error for one in drawn]))) == pytest.approx(values.std(), rel=0.3)


def test_the_exact_one_is_exact() -> None:
    values = torch.tensor([3.0, -1.0, 0.0], dtype=torch.float64)
    given = matrix(values)
    ritz, trace = dense(of(given), given[0])
    assert (ritz.reach(), trace.interval()) == (0.0, (trace.value, trace.value))
    assert [ritz.low, ritz.high, trace.value] == pytest.approx([-1, 3, 2])
    assert ritz.mean(np.abs) * 3 == pytest.approx(4)
    assert Trace(1.0, 0.5, 9).interval(0.95) == pytest.approx((1 - 0.5 * 2.306004, 1 + 0.5 * 2.306004))


def test_arguments() -> None:
    given = torch.eye(9)
    with pytest.raises(ArgumentError, match="steps and starts"):
        lanczos(of(given), given[0], 1, 1, stream(0))
    with pytest.raises(ArgumentError, match="products"):
        hutch_plus_plus(of(given), given[0], 5, stream(0))
    ritz = Ritz(1, (np.ones(1),), (np.ones(1),), (0.0, 0.0), (1,), (0.0,), exact=True)
    with pytest.raises(ArgumentError, match="points and width"):
        ritz.density(1)
