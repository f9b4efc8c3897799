"""Splits by time and by group."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.splits import Fractions, Split, by_group, by_time, times_of

FRACTIONS = st.sampled_from([(0.6, 0.2, 0.2), (0.5, 0.0, 0.5), (0.9, 0.1, 0.0), (1.0, 0.0, 0.0), (0.2, 0.4, 0.4)])


def partition(split: Split, rows: int) -> None:
    assert sorted(itertools.chain(*(part.tolist() for part in split))) == list(range(rows))
    assert all(part.tolist() == sorted(part.tolist()) for part in split)


@given(st.lists(st.integers(0, 12), min_size=3, max_size=60).filter(lambda times: len(set(times)) >= 3), FRACTIONS)
def test_no_row_is_tested_that_is_not_later_than_all_that_taught(times: list[int], fractions: Fractions) -> None:
    split = by_time(times, fractions)
    partition(split, len(times))
    values = [np.array(times)[part.numpy()] for part in split if len(part)]
    assert len(values) == sum(fraction > 0 for fraction in fractions)
    assert all(before.max() < after.min() for before, after in itertools.pairwise(values))


def test_without_ties_the_fractions_are_met() -> None:
    split = by_time(np.random.default_rng(0).permutation(1000), (0.6, 0.25, 0.15))
    assert [len(part) for part in split] == [600, 250, 150]


def test_times_of_every_type_give_the_same_split() -> None:
    when = pd.Series(pd.date_range("2024-01-01", periods=40, freq="9h")).sample(frac=1, random_state=0)
    known = by_time(when, (0.5, 0.25, 0.25))
    shapes = [
        when.to_numpy(), when.dt.tz_localize("UTC"), when.astype("int64"), when.dt.strftime("%d.%m.%Y %H:%M"), when.astype(str),
        [str(value) for value in when.astype("int64")], when.dt.to_pydatetime().tolist(),
    ]  # fmt: skip
    for values in shapes:
        assert all(torch.equal(a, b) for a, b in zip(by_time(values, (0.5, 0.25, 0.25)), known, strict=True))
    assert times_of(pd.Series(["1", "10", "9"]), "x").tolist() == [1.0, 10.0, 9.0]


def test_times_that_cannot_be_used() -> None:
    with pytest.raises(DataError, match="time has only one time in 3 rows, which cannot be cut into 2 splits"):
        by_time([5, 5, 5], (0.5, 0.0, 0.5))
    with pytest.raises(DataError, match="column 'when' has 1 missing values"):
        by_time([1.0, np.nan], (0.5, 0.0, 0.5), what="column 'when'")
    with pytest.raises(DataError, match="should hold dates or numbers to put rows in order; found 'soon'"):
        by_time(["1", "soon"], (0.5, 0.0, 0.5))
    late = torch.tensor([0, 0, 0, 1])
    with pytest.raises(DataError, match=r"class 'fraud' would have no training rows: .* later than the training rows"):
        by_time([1, 2, 3, 4], (0.5, 0.25, 0.25), target=late, class_names=("good", "fraud"))


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.0, 0.5, 0.5), (0.5, 0.2, 0.2), (1.2, -0.2, 0.0)])
def test_fractions_out_of_range(fractions: Fractions) -> None:
    with pytest.raises(ArgumentError, match="fractions"):
        by_time([1, 2, 3], fractions)
    with pytest.raises(ArgumentError, match="fractions"):
        by_group([1, 2, 3], torch.tensor([0, 1, 1]), fractions)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, 2)), min_size=12, max_size=80).filter(
        lambda rows: len({group for group, _ in rows}) >= 8
    ),
    FRACTIONS,
    st.integers(0, 5),
)
def test_no_group_is_in_two_splits(rows: list[tuple[int, int]], fractions: Fractions, seed: int) -> None:
    groups, target = [f"g{group}" for group, _ in rows], torch.tensor([label for _, label in rows])
    split = by_group(groups, target, fractions, seed=seed)
    partition(split, len(rows))
    sets = [{groups[row] for row in part.tolist()} for part in split]
    assert not any(a & b for a, b in itertools.combinations(sets, 2))
    assert [len(part) > 0 for part in split] == [fraction > 0 for fraction in fractions]
    assert set(target[split.train].tolist()) == set(target.tolist())
    again = by_group(groups, target, fractions, seed=seed)
    assert all(torch.equal(a, b) for a, b in zip(split, again, strict=True))


def test_groups_of_one_row_are_split_class_by_class() -> None:
    target = torch.tensor([0] * 900 + [1] * 100)
    split = by_group(np.arange(1000), target, (0.6, 0.2, 0.2))
    assert [torch.bincount(target[part]).tolist() for part in split] == [[540, 60], [180, 20], [180, 20]]
    other = by_group(np.arange(1000), target, (0.6, 0.2, 0.2), seed=1)
    assert not torch.equal(split.test, other.test)


def test_uneven_groups_come_near_the_best_that_can_be_done() -> None:
    """Against all ways of splitting 9 groups, by the worst share of a class; and at size, near what was asked for."""
    rng = np.random.default_rng(1)
    worst = []
    for trial in range(5):
        sizes = rng.integers(1, 9, (9, 2))
        groups = np.repeat(np.arange(9), sizes.sum(axis=1))
        target = torch.tensor(np.concatenate([[0] * a + [1] * b for a, b in sizes]))
        split = by_group(groups, target, (0.5, 0.0, 0.5), seed=trial)
        share = np.array([np.bincount(target[part], minlength=2) for part in (split.train, split.test)]) / sizes.sum(axis=0)
        ways = (np.array(list(itertools.product([0, 1], repeat=9))) @ sizes) / sizes.sum(axis=0)
        worst.append(np.abs(share[0] - 0.5).max() - np.abs(ways - 0.5).max(axis=1).min())
    assert max(worst) < 0.12
    groups = rng.zipf(1.5, 20_000) % 3000
    target = torch.from_numpy((rng.random(20_000) < 0.002 + 0.02 * (groups % 7 == 0)).astype(np.int64))
    split = by_group(groups, target, (0.6, 0.2, 0.2))
    for label, size in enumerate(torch.bincount(target).tolist()):
        if (np.bincount(groups[target == label]) / size).max() < 0.2:
            shares = [float((target[part] == label).sum()) / size for part in split]
            assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.1)


def test_groups_that_cannot_be_used() -> None:
    target = torch.tensor([0, 1, 0, 1])
    with pytest.raises(DataError, match="group has only 2 groups, which cannot be cut into 3 splits"):
        by_group([1, 1, 2, 2], target, (0.6, 0.2, 0.2))
    with pytest.raises(DataError, match="1 missing values"):
        by_group(["a", None, "b", "c"], target, (0.6, 0.2, 0.2))
    with pytest.raises(DataError, match="too few groups with rows of each class"):
        by_group([1, 2, 3], torch.tensor([0, 1, 2]), (0.6, 0.2, 0.2))
