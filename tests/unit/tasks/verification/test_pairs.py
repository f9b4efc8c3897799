"""Pairs in folds that share no identity."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, DataError
from steelyard.tasks.verification import draw_pairs


@settings(max_examples=30)
@given(st.integers(4, 30), st.integers(2, 6), st.integers(2, 200), st.booleans(), st.integers(0, 99))
def test_pairs_are_of_two_rows_and_of_identities_of_one_fold(identities, pictures, size, within, seed):
    identity = np.repeat(np.arange(identities), pictures)
    groups = identity % 2
    pairs = draw_pairs(identity, size, groups=groups, within=within, seed=seed)
    assert bool((pairs.first != pairs.second).all())
    assert np.array_equal(identity[pairs.first] == identity[pairs.second], pairs.same)
    folds = {}
    for row, fold in zip([*pairs.first, *pairs.second], [*pairs.fold, *pairs.fold], strict=True):
        assert folds.setdefault(identity[row], fold) == fold
    alike = groups[pairs.first] == groups[pairs.second]
    assert np.array_equal(pairs.group, np.where(alike, groups[pairs.first], -1))
    both = {frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}
    assert len(both) == len(pairs)
    share = -(-size // min(10, identities // 2))
    assert all((pairs.same & (pairs.fold == fold)).sum() <= max(share, size) for fold in set(pairs.fold.tolist()))
    again = draw_pairs(identity, size, groups=groups, within=within, seed=seed)
    assert np.array_equal(again.first, pairs.first) and np.array_equal(again.second, pairs.second)


def test_impostors_within_groups():
    identity = np.repeat(np.arange(40), 3)
    pairs = draw_pairs(identity, 100, groups=identity % 2, within=True)
    assert bool((pairs.group >= 0).all())


def test_identities_with_one_picture_are_impostors_only():
    identity = np.array([0, 0, 1, 1, 2, 3, 4, 5])
    pairs = draw_pairs(identity, 50)
    assert int(pairs.same.sum()) == 2


@pytest.mark.parametrize(
    ("identity", "says"),
    [
        ([0, 0, 1, 1, 2, 2], "at least 4 identities"),
        ([0, 1, 2, 3, 4], "no pairs of one identity: no identity that is judged has two"),
    ],
)
def test_too_few_are_refused(identity, says):
    with pytest.raises(DataError, match=says):
        draw_pairs(np.array(identity), 10)


def test_size_is_checked():
    with pytest.raises(ArgumentError, match="`pairs`"):
        draw_pairs(np.repeat(np.arange(4), 2), 1)
