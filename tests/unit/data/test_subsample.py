import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.data.subsample import subsample

labels_and_counts = st.lists(st.integers(0, 4), min_size=1, max_size=200).flatmap(
    lambda labels: st.tuples(
        st.just(torch.tensor(labels)),
        st.tuples(*(st.integers(0, labels.count(c)) for c in range(5))).filter(any),
    )
)


@given(labels_and_counts, st.integers(0, 5))
def test_counts_are_exact_and_no_row_comes_twice(case, seed):
    targets, counts = case
    before = torch.get_rng_state()
    rows = subsample(targets, counts, seed)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.bincount(targets[rows], minlength=5).tolist() == list(counts)
    assert bool((rows.diff() > 0).all())
    assert rows.dtype == torch.int64
    assert torch.equal(rows, subsample(targets, counts, seed))


def test_seeds_pick_other_rows_and_smaller_is_part_of_larger():
    targets = torch.arange(1000) % 4
    picks = [frozenset(subsample(targets, [50, 40, 30, 20], seed).tolist()) for seed in range(6)]
    assert len(set(picks)) == 6
    smaller = set(subsample(targets, [50, 10, 0, 5], 3).tolist())
    assert smaller < picks[3]
    # What is picked from class 0 does not depend on the others.
    assert {row for row in smaller if row % 4 == 0} == {row for row in picks[3] if row % 4 == 0}


def test_every_row_is_equally_likely():
    targets = torch.zeros(40, dtype=torch.int64)
    hits = sum(torch.bincount(subsample(targets, [10], seed), minlength=40) for seed in range(2000))
    # Without replacement the statistic is scaled by (n - 1) / (n - k) to be chi-square with 39 degrees of freedom.
    statistic = float(((hits - 500.0) ** 2 / 500.0).sum()) * 39 / 30
    assert 15 < statistic < 80  # p = .0002 on both sides


def test_errors_name_the_class_the_wanted_and_the_available():
    with pytest.raises(ArgumentError, match="at most the 2 rows that class 1 has; found 3 wanted"):
        subsample([0, 0, 1, 1], [1, 3])
    with pytest.raises(ArgumentError, match="at most the 0 rows that class 2 has; found 1 wanted"):
        subsample([0, 0, 1, 1], [1, 1, 1])
    with pytest.raises(ArgumentError, match="one number for each of the 2 classes"):
        subsample([0, 0, 1, 1], [1])
    with pytest.raises(ArgumentError, match="counts"):
        subsample([0, 1], [-1, 1])
