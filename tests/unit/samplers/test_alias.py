import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.samplers.alias import AliasTable

weights = st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1e6)), min_size=1, max_size=80).filter(lambda w: sum(w) > 0)


@given(weights)
def test_each_outcome_owns_exactly_its_probability(values):
    probabilities = torch.tensor(values, dtype=torch.float64)
    table = AliasTable(probabilities)
    cells = torch.arange(len(values))
    mass = torch.zeros(len(values), dtype=torch.float64).index_add_(0, cells, table.threshold)
    mass.index_add_(0, table.alias, 1.0 - table.threshold)
    assert torch.allclose(mass / len(values), probabilities / probabilities.sum(), rtol=1e-9, atol=1e-12)


@given(weights, st.integers(0, 2**32))
def test_impossible_outcomes_are_never_drawn(values, seed):
    probabilities = torch.tensor(values, dtype=torch.float64)
    uniform = torch.rand(2000, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    uniform[:2] = torch.tensor([0.0, 1.0 - 2.0**-53], dtype=torch.float64)
    drawn = AliasTable(probabilities).draw(uniform)
    assert bool((probabilities[drawn] > 0).all())


@pytest.mark.parametrize("values", [[1.0] * 7, [1.0, 2.0, 3.0, 4.0, 0.0], [float(k) ** -1.5 for k in range(1, 101)]])
def test_draws_have_the_right_frequencies(values):
    probabilities = torch.tensor(values, dtype=torch.float64)
    probabilities /= probabilities.sum()
    uniform = torch.rand(400_000, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    seen = torch.bincount(AliasTable(probabilities).draw(uniform), minlength=len(values))
    expected = probabilities * 400_000
    statistic = float((((seen - expected) ** 2)[expected > 0] / expected[expected > 0]).sum())
    freedom = int((expected > 0).sum()) - 1
    assert statistic <= freedom + 4 * (2 * freedom) ** 0.5
