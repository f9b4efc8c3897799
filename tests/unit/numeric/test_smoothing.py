"""Smoothing from class sizes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.numeric.smoothing import smoothed_head, smoothed_tail

sizes_lists = st.lists(st.integers(1, 10**6), min_size=2, max_size=20, unique=True)


@given(sizes_lists)
def test_each_direction_gives_its_end_the_most(sizes):
    n = torch.tensor(sizes, dtype=torch.float64)
    order = torch.argsort(n)
    head, tail = smoothed_head(n, 0.1, 0.4)[order], smoothed_tail(n, 0.1, 0.4)[order]
    assert bool((head.diff() >= 0).all())
    assert bool((tail.diff() <= 0).all())
    for found, ends in ((head, [0.1, 0.4]), (tail, [0.4, 0.1])):
        torch.testing.assert_close(found[[0, -1]], torch.tensor(ends, dtype=torch.float64))


@pytest.mark.parametrize("function", [smoothed_head, smoothed_tail])
def test_equal_sizes_have_the_minimum(function):
    torch.testing.assert_close(function(torch.full((3,), 7.0), 0.1, 0.4), torch.full((3,), 0.1))
