"""Sums over the rows of a class."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.numeric.by_class import class_totals, first_of_class, widened

labels = st.lists(st.integers(-3, 10**6) | st.integers(0, 3), min_size=1, max_size=40)


@given(labels)
def test_the_first_row_of_each_class(target):
    assert first_of_class(torch.tensor(target)).tolist() == [target.index(label) for label in target]


@given(labels)
def test_totals_are_those_of_a_loop(target):
    values = torch.arange(2.0 * len(target)).reshape(-1, 2)
    expected = [sum(v for v, other in zip(values[:, 1].tolist(), target, strict=True) if other == y) for y in target]
    assert class_totals(values, torch.tensor(target))[:, 1].tolist() == expected
    assert class_totals(values[:, 1], torch.tensor(target)).tolist() == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_widened_is_double(dtype):
    assert widened(torch.ones(2, dtype=dtype)).dtype == torch.float64
