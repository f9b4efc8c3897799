"""Margins from class sizes."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.numeric.margins import ldam_margins, power_margins

sizes_lists = st.lists(st.integers(1, 10**6), min_size=1, max_size=20)


@given(sizes_lists, st.floats(0, 2))
def test_ldam_margins_fall_with_the_fourth_root(sizes, most):
    n = torch.tensor(sizes, dtype=torch.float64)
    margins = ldam_margins(n, most)
    torch.testing.assert_close(margins.max().item(), most, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(margins * n**0.25, torch.full_like(n, most * float(n.min()) ** 0.25))


@given(sizes_lists, st.floats(-1, 1))
def test_power_margins_have_mean_one_and_the_ratios_of_the_power(sizes, kappa):
    n = torch.tensor(sizes, dtype=torch.float64)
    margins = power_margins(n, kappa)
    torch.testing.assert_close(margins.mean().item(), 1.0)
    torch.testing.assert_close(margins / margins[0], (n / n[0]) ** kappa)
    assert torch.equal(power_margins(n, 0.0), torch.ones_like(n))
