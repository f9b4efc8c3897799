"""The effective number of rows, against exact arithmetic."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.numeric.effective_number import effective_number


@given(
    st.integers(1, 3000),
    st.sampled_from([5e-324, 1e-300, 1e-17, 1e-16, 1e-9, 0.1, 0.5, 0.9, 0.999, 0.9999, 1 - 1e-9, 1 - 1e-12, 1 - 2**-53]),
)
def test_equals_the_geometric_sum(size, beta):
    exact = (1 - Fraction(beta) ** size) / (1 - Fraction(beta)) if beta > 1e-20 else Fraction(1)
    found = effective_number(torch.tensor([float(size)], dtype=torch.float64), beta)
    assert float(found) == pytest.approx(float(exact), rel=1e-12)


@given(st.integers(1, 10**12))
def test_ends(size):
    n = torch.tensor([float(size)], dtype=torch.float64)
    assert effective_number(n, 0.0).item() == 1
    assert effective_number(n, 1.0).item() == size


def test_grows_from_one_to_its_limit():
    n = torch.tensor([1.0, 2, 5, 50, 1e4, 1e9], dtype=torch.float64)
    found = effective_number(n, 0.99)
    assert bool((found.diff() >= 0).all())
    torch.testing.assert_close(found[[0, -1]], torch.tensor([1.0, 100.0], dtype=torch.float64))
