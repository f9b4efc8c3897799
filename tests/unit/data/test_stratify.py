"""Iterative stratification."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.data.stratify import stratify


@given(st.integers(2, 80), st.integers(1, 6), st.sampled_from([(0.75, 0.25), (0.5, 0.5), (0.6, 0.2, 0.2)]), st.integers(0, 99))
def test_every_example_is_in_one_part_and_the_same_seed_gives_the_same_parts(examples, labels, fractions, seed):
    stream = torch.Generator().manual_seed(seed)
    truth = (torch.rand(examples, labels, generator=stream) < 0.3).float()
    parts = stratify(truth, fractions, seed=seed)
    assert torch.cat(parts).sort().values.tolist() == list(range(examples))
    assert all(bool((part.diff() > 0).all()) for part in parts)
    assert all(torch.equal(*pair) for pair in zip(parts, stratify(truth, fractions, seed=seed), strict=True))


def test_every_label_is_shared_out_as_the_examples_are():
    stream = torch.Generator().manual_seed(0)
    truth = (torch.rand(2000, 8, generator=stream) < torch.tensor([0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01])).float()
    kept, held = stratify(truth, (0.8, 0.2))
    assert len(held) == pytest.approx(400, abs=8)
    shares = truth[held].sum(0) / truth.sum(0)
    assert float((shares - 0.2).abs().max()) < 0.03  # by chance the rarest would be off by 0.09
    assert len(kept) + len(held) == 2000


def test_a_label_of_two_examples_is_in_both_parts_and_one_of_one_stays_in_the_larger():
    truth = torch.zeros(40, 3)
    truth[:20, 0] = 1
    truth[[3, 30], 1] = 1
    truth[7, 2] = 1
    for seed in range(10):
        kept, held = stratify(truth, (0.75, 0.25), seed=seed)
        assert truth[kept, 1].sum() == truth[held, 1].sum() == 1
        assert truth[kept, 2].sum() == 1


def test_what_is_not_known_counts_as_absent():
    truth = torch.tensor([[1.0, torch.nan], [torch.nan, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert sum(map(len, stratify(truth, (0.5, 0.5)))) == 4


@pytest.mark.parametrize(
    ("labels", "fractions"), [(torch.zeros(3), (1.0,)), (torch.zeros(3, 1), (0.5, 0.6)), (torch.zeros(3, 1), ())]
)
def test_what_cannot_be_cut_is_refused(labels, fractions):
    with pytest.raises(ArgumentError):
        stratify(labels, fractions)
