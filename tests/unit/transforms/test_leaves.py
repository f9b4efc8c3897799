"""Inputs as trees of tensors."""

import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.transforms._leaves import each, flat, joined, leaves, pick, unflat


def tree(rows: int = 3) -> dict:
    stream = torch.Generator().manual_seed(0)
    return {
        "numeric": torch.randn(rows, 2, generator=stream),
        "more": {"image": torch.randn(rows, 1, 2, 2, generator=stream).bfloat16(), "one": torch.randn(rows, generator=stream)},
        "categorical": torch.randint(5, (rows, 2), generator=stream),
    }


def test_flat_holds_all_quantities_and_unflat_puts_them_back():
    inputs = tree()
    numbers = flat(inputs)
    assert numbers.shape == (3, 2 + 4 + 1)
    assert numbers.dtype == torch.float32
    back = unflat(numbers, inputs)
    for one, other in zip(leaves(back), leaves(inputs), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    assert torch.equal(unflat(numbers + 1, inputs)["numeric"], inputs["numeric"] + 1)
    assert flat(torch.zeros(2, 3, dtype=torch.float64)).dtype == torch.float64


def test_rows_are_picked_and_joined_leaf_by_leaf():
    inputs = tree()
    chosen = pick(inputs, torch.tensor([2, 0]))
    assert torch.equal(chosen["more"]["one"], inputs["more"]["one"][[2, 0]])
    both = joined(inputs, chosen)
    assert torch.equal(both["categorical"], torch.cat([inputs["categorical"], inputs["categorical"][[2, 0]]]))
    doubled = each(lambda one, two: one + two, inputs, inputs)
    assert torch.equal(doubled["numeric"], 2 * inputs["numeric"])


@pytest.mark.parametrize("wrong", [None, [torch.zeros(2)], {}, torch.tensor(1.0), {"a": torch.zeros(2), "b": torch.zeros(3)}])
def test_anything_else_is_refused(wrong):
    with pytest.raises(ArgumentError, match="`inputs`"):
        leaves(wrong)
