"""Embeddings of numeric columns against slow references, and what they are at their limits."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import generator
from steelyard.nets.numeric_embeddings import PeriodicEmbedding, PiecewiseLinearEmbedding


def rows(number: int = 7, columns: int = 3) -> torch.Tensor:
    return torch.randn(number, columns, generator=generator(0, "rows"))


def test_periodic_equals_a_loop_over_every_wave():
    layer = PeriodicEmbedding(3, frequencies=5, width=4, sigma=0.7).double().requires_grad_(False)
    x = rows().double()
    want = torch.zeros(7, 12, dtype=torch.float64)
    for n in range(7):
        for i in range(3):
            want[n, 4 * i] = x[n, i]
            for j in range(3):
                total = float(layer.bias[i, j])
                for k in range(5):
                    wave = math.cos(2 * math.pi * (float(layer.frequency[i, k]) * float(x[n, i]) + float(layer.phase[i, k])))
                    total += float(layer.weight[i, k, j]) * wave
                want[n, 4 * i + 1 + j] = total
    torch.testing.assert_close(layer(x), want)


def test_periodic_without_frequency_is_the_column_beside_constants():
    layer = PeriodicEmbedding(3)
    torch.nn.init.zeros_(layer.frequency)
    embedded = layer(rows()).view(7, 3, 4)
    assert torch.equal(embedded[..., 0], rows())
    torch.testing.assert_close(embedded[..., 1:], embedded[:1, :, 1:].expand(7, 3, 3))


def test_initial_frequencies_have_the_deviation_that_was_asked_for():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = PeriodicEmbedding(50, frequencies=100, sigma=0.3)
    assert float(layer.frequency.detach().std()) == pytest.approx(0.3, rel=0.05)


def test_periodic_gradients_agree_with_finite_differences():
    layer = PeriodicEmbedding(2, frequencies=3, width=3, sigma=0.5).double()
    x = rows(4, 2).double().requires_grad_(True)
    names = [name for name, _ in layer.named_parameters()]

    def embed(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(embed, (x, *layer.parameters()))


@given(value=st.floats(-20, 20), bins=st.integers(2, 20))
def test_piecewise_equals_its_definition(value: float, bins: int):
    layer = PiecewiseLinearEmbedding(1, bins=bins)
    outer = 0.25 / bins
    edges = norm.ppf([min(max(t / bins, outer), 1 - outer) for t in range(bins + 1)])
    want = [value] + [min(max((value - low) / (high - low), 0.0), 1.0) for low, high in pairwise(edges)]
    torch.testing.assert_close(layer(torch.tensor([[value]])), torch.tensor([want], dtype=torch.float32), atol=1e-4, rtol=1e-4)


def test_bins_hold_equal_shares_of_a_normal_column():
    layer = PiecewiseLinearEmbedding(1, bins=4)
    quantiles = torch.special.ndtri(torch.linspace(0.0005, 0.9995, 1000)).unsqueeze(1)
    inside = (layer(quantiles)[:, 1:] > 0) & (layer(quantiles)[:, 1:] < 1)
    assert inside[:, 1:3].sum(0).tolist() == [250, 250]
    assert inside[:, [0, 3]].sum(0).tolist() == pytest.approx([187, 187], abs=2)


def test_a_linear_layer_on_top_is_any_line_with_kinks_at_the_edges():
    layer = PiecewiseLinearEmbedding(1, bins=4)
    x = torch.linspace(float(layer.edges[0]), float(layer.edges[-1]), 200).unsqueeze(1)
    heights = torch.tensor([3.0, -1.0, 0.5, 2.0, -4.0])
    weight = torch.cat([torch.zeros(1), heights.diff()])
    want = torch.from_numpy(np.interp(x[:, 0].numpy(), layer.edges.numpy(), heights.numpy())).float()
    torch.testing.assert_close(heights[0] + layer(x) @ weight, want, atol=1e-4, rtol=1e-4)


def test_columns_do_not_touch_each_other():
    x, moved = rows(), rows()
    moved[:, 1] += 1.0
    periodic = PeriodicEmbedding(3)
    changed = (periodic(x) != periodic(moved)).any(0).view(3, 4)
    assert changed.any(1).tolist() == [False, True, False]
    piecewise = PiecewiseLinearEmbedding(3, bins=4)
    changed = (piecewise(x) != piecewise(moved)).any(0)
    assert changed[:3].tolist() == [False, True, False]
    assert changed[3:].view(3, 4).any(1).tolist() == [False, True, False]


@pytest.mark.parametrize("layer", [PeriodicEmbedding(2), PiecewiseLinearEmbedding(2)])
def test_width_is_what_comes_out(layer: torch.nn.Module):
    assert layer(rows(5, 2)).shape == (5, layer.width)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: PeriodicEmbedding(0), "columns"),
        (lambda: PeriodicEmbedding(1, frequencies=0), "frequencies"),
        (lambda: PeriodicEmbedding(1, width=1), "width"),
        (lambda: PeriodicEmbedding(1, sigma=0.0), "sigma"),
        (lambda: PiecewiseLinearEmbedding(0), "columns"),
        (lambda: PiecewiseLinearEmbedding(1, bins=1), "bins"),
    ],
)
def test_impossible_settings_are_refused(make, name: str):
    with pytest.raises(ArgumentError, match=name):
        make()
