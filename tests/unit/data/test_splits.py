from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.splits import hold_out, refuse_singletons, thin


@st.composite
def targets(draw: st.DrawFn) -> Tensor:
    sizes = draw(st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(lambda n: sum(n) > 0))
    target = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return target[torch.randperm(len(target), generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))]


@given(targets(), st.floats(0, 0.95), st.integers(0, 1000), st.integers(2, 6))
def test_hold_out_is_disjoint_covers_and_is_stratified(target: Tensor, fraction: float, seed: int, least: int) -> None:
    kept, held = hold_out(target, fraction, seed=seed, least=least)
    assert sorted(kept.tolist() + held.tolist()) == list(range(len(target)))
    assert kept.tolist() == sorted(kept.tolist()) and held.tolist() == sorted(held.tolist())
    for label in target.unique().tolist():
        n, taken = int((target == label).sum()), int((target[held] == label).sum())
        assert taken < n
        expected = int(fraction * n + 0.5)
        if fraction > 0 and n >= least:
            expected = max(expected, 1)
        assert taken == min(expected, n - 1)


@given(targets(), st.floats(0.05, 0.9))
def test_hold_out_is_a_function_of_its_seed(target: Tensor, fraction: float) -> None:
    assert torch.equal(hold_out(target, fraction, seed=3)[1], hold_out(target, fraction, seed=3)[1])


def test_seeds_choose_different_rows() -> None:
    target = torch.zeros(1000, dtype=torch.int64)
    assert not torch.equal(hold_out(target, 0.5, seed=0)[1], hold_out(target, 0.5, seed=1)[1])


@given(targets(), st.integers(1, 400))
def test_thin_keeps_every_class_and_the_proportions(target: Tensor, most: int) -> None:
    rows = thin(target, most)
    assert len(set(rows.tolist())) == len(rows)
    if most >= len(target):
        assert len(rows) == len(target)
        return
    for label in target.unique().tolist():
        n = int((target == label).sum())
        assert int((target[rows] == label).sum()) == max(int(n * most / len(target) + 0.5), 1)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(ArgumentError, match="fraction"):
        hold_out(torch.tensor([0, 1]), fraction)


def test_least_out_of_range() -> None:
    with pytest.raises(ArgumentError, match="least"):
        hold_out(torch.tensor([0, 1]), 0.5, least=1)


def test_singletons_are_named() -> None:
    refuse_singletons(torch.tensor([0, 0, 1, 1]), ("a", "b"))
    with pytest.raises(DataError, match=r"class 'b' has one row \(and 1 more such classes\)"):
        refuse_singletons(torch.tensor([0, 0, 1, 2]), ("a", "b", "c"))
