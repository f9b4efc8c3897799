"""Which rows are learnt from and which are judged by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.estimator.splitting import FEW_ROWS, choose_split, given_split


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=60), st.integers(2, 6), st.integers(0, 9))
def test_folds_deal_every_class_evenly(labels, folds, seed):
    target = torch.tensor(labels)
    split = choose_split(target, folds, seed=seed)
    sizes = torch.bincount(target)
    if int((sizes[target] > 1).sum()) < 2:
        assert split.folds is None
        return
    assert split.num_folds == min(folds, len(target))
    for label, size in enumerate(sizes.tolist()):
        dealt = torch.bincount(split.folds[target == label], minlength=split.num_folds)
        assert int(dealt.max() - dealt.min()) <= 1
        assert int(split.lone[target == label].sum()) == (size == 1)
    whole = torch.bincount(split.folds, minlength=split.num_folds)
    assert int(whole.min()) >= 1
    assert int(whole.max() - whole.min()) <= 1
    assert (sizes[target[split.judged]] > 1).all()


def test_a_fraction_is_held_out_by_class():
    target = torch.tensor([0] * 80 + [1] * 20)
    split = choose_split(target, 0.25)
    assert torch.bincount(target[split.valid]).tolist() == [20, 5]
    assert sorted([*split.train.tolist(), *split.valid.tolist()]) == list(range(100))
    assert split.judged is split.valid


def test_auto_makes_folds_of_few_rows_and_holds_out_many():
    few = choose_split(torch.arange(FEW_ROWS) % 2, "auto")
    many = choose_split(torch.arange(FEW_ROWS + 2) % 2, "auto")
    assert few.num_folds == 5
    assert many.folds is None
    assert 0.14 < len(many.valid) / (FEW_ROWS + 2) < 0.16


def test_another_seed_cuts_otherwise():
    target = torch.arange(50) % 2
    assert torch.equal(choose_split(target, 5, seed=1).folds, choose_split(target, 5, seed=1).folds)
    assert not torch.equal(choose_split(target, 5, seed=1).folds, choose_split(target, 5, seed=2).folds)


@pytest.mark.parametrize("wrong", ["some", 1, 0, True, 1.0, 0.0, -0.5, None])
def test_other_validations_are_refused(wrong):
    with pytest.raises(ArgumentError, match="validation"):
        choose_split(torch.arange(10) % 2, wrong)


def test_splits_of_the_users():
    assert given_split((np.array([2, 0]), [1]), 3).train.tolist() == [0, 2]
    assert given_split([0, 1, 0], 3).num_folds == 2
    for wrong in (([0, 1], [1, 2]), ([], [0]), ([0], [5]), ([-1], [0]), [0, 0, 0], [0, 1]):
        with pytest.raises(ArgumentError, match="split"):
            given_split(wrong, 3)


def test_thinning_keeps_classes_and_kind():
    target = torch.tensor([0] * 900 + [1] * 100)
    for validation in (5, 0.2):
        split = choose_split(target, validation)
        small = split.thinned(target, 200, seed=0)
        assert small.num_folds == split.num_folds
        assert 190 <= len(small.train) <= 210
        assert abs(float(target[small.train].float().mean()) - 0.1) < 0.01
        assert set(small.train.tolist()) <= set(split.train.tolist())
        assert set(small.valid.tolist()) <= set(split.valid.tolist())
