"""Where the rows come from that learnt weights are judged by."""

from __future__ import annotations

import pytest
import torch
from tiny import Blobs

from steelyard.core.errors import ArgumentError
from steelyard.core.task import TaskView
from steelyard.data import ResidentSource
from steelyard.methods._meta_set import meta_set
from steelyard.samplers import BalancedSampler


@pytest.mark.parametrize(
    ("counts", "rows", "held_out"),
    [
        ((60, 25, 50), 5, True),
        ((60, 24, 50), 5, False),  # a fifth of 24 rows is fewer than 5
        ((60, 0, 50), 10, True),  # a class without rows has none to spare
        ((60, 1, 50), 1, False),
        ((60, 5, 50), 1, True),
    ],
)
def test_rows_are_held_out_where_a_fifth_of_each_class_is_enough(counts: tuple[int, ...], rows: int, held_out: bool) -> None:
    task = TaskView(Blobs(counts=counts), seed=3)
    trained, pool = meta_set(task, rows, "auto", 100)
    if held_out:
        assert trained is not None
        assert trained.counts.tolist() == [max(n - rows, 0) for n in counts]
        assert pool.source.target.bincount(minlength=3).tolist() == [min(rows, n) for n in counts]
    else:
        assert trained is None
        assert pool.source is task.train
        assert pool.sampler is BalancedSampler


def test_asked_for_it_is_as_asked() -> None:
    task = TaskView(Blobs(counts=(60, 4, 9)), seed=3)
    trained, _ = meta_set(task, 10, "held_out", 100)
    assert trained is not None
    assert trained.counts.tolist() == [50, 2, 5]
    task = TaskView(Blobs(counts=(60, 60, 60)), seed=3)
    assert meta_set(task, 2, "train", 100)[0] is None
    with pytest.raises(ArgumentError, match="meta_from"):
        meta_set(task, 2, "somewhere", 100)  # type: ignore[arg-type]


def given(*target: int) -> ResidentSource:
    return ResidentSource(torch.zeros(len(target), 4), torch.tensor(target, dtype=torch.int64))


def test_rows_of_ones_own_are_taken_as_they_are() -> None:
    task, own = TaskView(Blobs(counts=(60, 4, 9)), seed=3), given(0, 1, 2, 2)
    trained, pool = meta_set(task, 10, "auto", 100, own)
    assert trained is None
    assert pool.source is own


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (given(0, 1, 3), "classes 0 to 2; found class 3"),
        (given(0, -1), "classes 0 to 2; found class -1"),
        (given(), "at least one row; found none"),
        ((torch.zeros(3, 4), torch.arange(3)), "ResidentSource.*; found a tuple"),
        (ResidentSource(torch.zeros(3, 5), torch.arange(3)), r"float32 \[N, 4\]; found float32 \[N, 5\]"),
        (ResidentSource(torch.zeros(3, 4).double(), torch.arange(3)), r"float32 \[N, 4\]; found float64 \[N, 4\]"),
        (ResidentSource({"x": torch.zeros(3, 4)}, torch.arange(3)), r"float32 \[N, 4\]; found a mapping of 'x'"),
    ],
)
def test_rows_of_ones_own_that_are_none_of_these_classes_are_refused(own: ResidentSource, said: str) -> None:
    with pytest.raises(ArgumentError, match=f"`meta`.*{said}"):
        meta_set(TaskView(Blobs(counts=(60, 4, 9)), seed=3), 10, "auto", 100, own)


def test_no_meta_rows_are_refused_by_their_own_name() -> None:
    for where in ("auto", "held_out", "train"):
        with pytest.raises(ArgumentError, match="`meta_rows`"):
            meta_set(TaskView(Blobs(counts=(60, 4, 9)), seed=3), 0, where, 100)  # type: ignore[arg-type]
