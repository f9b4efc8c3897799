from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.counts import as_counts, count, effective, group_classes, imbalance_factor, of_class, prior
from steelyard.core.errors import ArgumentError

COUNTS = st.lists(st.integers(0, 5000), min_size=2, max_size=40).filter(lambda n: sum(n) > 0)


def cifar(classes: int, n_max: int, factor: float) -> list[int]:
    return [int(n_max * factor ** (-c / (classes - 1)) + 1e-9) for c in range(classes)]


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        (cifar(100, 500, 100), (35, 35, 30)),
        (cifar(100, 500, 10), (69, 31, 0)),
        (cifar(100, 500, 50), (41, 41, 18)),
        (cifar(10, 5000, 100), (8, 2, 0)),
    ],
)
def test_threshold_groups_of_the_benchmarks(counts: list[int], sizes: tuple[int, int, int]) -> None:
    """Known sizes of the > 100 / 20 to 100 / < 20 rule."""
    members = group_classes(counts, "thresholds").members
    assert tuple(len(members[name]) for name in ("many", "medium", "few")) == sizes


def test_index_groups_are_rdr_s_fixed_splits() -> None:
    groups = group_classes(cifar(100, 500, 10), "index:35,69")
    assert [len(part) for part in groups.members.values()] == [35, 34, 31]
    assert "[0,35)" in groups.rule


def test_auto_is_terciles_where_thresholds_leave_a_group_empty() -> None:
    assert "training rows" in group_classes(cifar(100, 500, 100)).rule
    assert "> 100" in group_classes(cifar(100, 500, 100)).rule
    assert "thirds" in group_classes(cifar(10, 5000, 100)).rule


@given(COUNTS, st.sampled_from(["auto", "thresholds", "terciles"]))
def test_every_class_is_in_exactly_one_group_and_groups_are_ordered(counts: list[int], rule: str) -> None:
    members = group_classes(counts, rule).members
    assert sorted(c for part in members.values() for c in part) == list(range(len(counts)))
    filled = [[counts[c] for c in members[name]] for name in ("many", "medium", "few") if members[name]]
    assert all(min(big) >= max(small) for big, small in itertools.pairwise(filled))


def test_two_classes_are_many_and_few() -> None:
    members = group_classes([5, 900], "terciles").members
    assert members == {"many": (1,), "medium": (), "few": (0,)}


@pytest.mark.parametrize("rule", ["third", "index:3", "index:5,2", "index:1,99", "index:a,b"])
def test_a_bad_rule_is_named(rule: str) -> None:
    with pytest.raises(ArgumentError, match="groups"):
        group_classes([10, 5, 1], rule)


@given(COUNTS)
def test_priors_sum_to_one_and_never_vanish(counts: list[int]) -> None:
    pi = prior(counts)
    assert float(pi.sum()) == pytest.approx(1)
    assert float(pi.min()) > 0
    assert torch.equal(effective(counts), torch.tensor(counts).double().clamp_min(1))


@pytest.mark.parametrize("bad", [[], [[1, 2]], [1.5, 2], [-1, 2], [0, 0], [float("nan"), 1], [float("inf"), 1]])
def test_counts_that_are_no_counts_are_refused(bad: list[float]) -> None:
    with pytest.raises(ArgumentError, match="class_counts"):
        as_counts(bad)


def test_counts_come_as_lists_arrays_and_tensors() -> None:
    for given_counts in ([3, 1], np.array([3, 1]), torch.tensor([3, 1]), torch.tensor([3.0, 1.0])):
        assert as_counts(given_counts).tolist() == [3, 1]


def test_count_and_factor() -> None:
    assert count(torch.tensor([0, 2, 2, 2]), 4).tolist() == [1, 0, 3, 0]
    assert imbalance_factor([1, 0, 3, 0]) == 3


@pytest.mark.parametrize("target", [[0, 2], [0, 5, 1]])
def test_a_class_without_a_size_is_named(target):
    with pytest.raises(ArgumentError, match=rf"`target` should be classes from 0 to 1, .* from 0 to {max(target)}"):
        of_class(torch.tensor([5.0, 7.0]), torch.tensor(target))
