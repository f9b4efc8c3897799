"""Cutting rows off for judging weights, and sources that are parts of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Blobs, Held, ce
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import Part, TaskView

counts_of = st.lists(st.sampled_from([0, 1, 2, 3, 7, 30]), min_size=2, max_size=4).filter(any).map(tuple)


def rows_in(part: Part) -> list[int]:
    return part.rows.tolist()


@settings(max_examples=60)
@given(counts_of, st.integers(1, 12), st.integers(0, 3))
def test_what_is_taken_is_gone_and_sizes_are_as_said(counts, per_class, seed):
    view = TaskView(Blobs(counts=counts), seed=seed)
    rest, meta = view.reserve(per_class)
    kept, taken = set(rows_in(rest.splits["train"])), set(rows_in(meta))
    target = view.train.target
    lent = {row for row in taken if counts[int(target[row])] == 1}
    assert kept & taken == lent
    assert kept | taken == set(range(sum(counts)))
    found = torch.bincount(meta.target, minlength=len(counts)).tolist()
    assert found == [min(per_class, n // 2) if n > 1 else n for n in counts]
    assert rest.counts.tolist() == [n - min(per_class, n // 2) for n in counts]  # a lent row stays
    assert torch.equal(meta.target, target[meta.rows])


def test_seeds_take_other_rows_and_a_seed_the_same():
    task = Blobs()
    first, again, other = (TaskView(task, seed=seed).reserve(5)[1].rows for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_second_call_gives_the_same_rows():
    view = TaskView(Blobs())
    assert torch.equal(view.reserve(4)[1].rows, view.reserve(4)[1].rows)


def test_the_rows_are_no_fixed_ones_of_a_class():
    """Every row of the class is taken for some seed."""
    taken = {row for seed in range(60) for row in rows_in(TaskView(Blobs(), seed=seed).reserve(5)[1])}
    assert len(taken) > 85


@pytest.mark.parametrize("per_class", [0, -3])
def test_wrong_numbers_are_named(per_class):
    with pytest.raises(ArgumentError, match="`per_class`"):
        TaskView(Blobs()).reserve(per_class)


def test_the_rest_is_a_task_without_a_test_split_and_the_whole_is_left_alone():
    task = Blobs()
    view = TaskView(task)
    before = task.counts.clone()
    rest, _ = view.reserve(5)
    assert set(rest.splits) == {"train", "valid"}
    assert rest.class_names == task.class_names
    assert int(rest.counts.sum()) < int(task.counts.sum())
    assert torch.equal(task.counts, before)
    assert set(task.splits) == {"train", "valid", "test"}


def test_on_takes_other_rows_and_counts_them():
    view = TaskView(Blobs())
    view.counts.sum()  # counted before: what was cached must not be kept
    task = view.on(Part(view.train, torch.tensor([0, 1, 70, 93])))
    assert task.counts.tolist() == [2, 1, 1]
    assert "test" not in task.splits


def test_a_stage_trains_on_the_rest_alone():
    def program(view: TaskView) -> Steps:
        rest, _ = view.reserve(20)
        yield Stage(task=rest)

    regime = Regime(epochs=2, batch_size=8)
    whole, less = (fit(Blobs(), method, regime) for method in (ce, program))
    assert (whole.steps, less.steps) == (2 * 12, 2 * 8)  # 94 and 58 rows


class Ahead(Held):
    """Reads two batches ahead."""

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        waiting = []
        for index in batches:
            waiting.append((index, self.inputs[index]))
            if len(waiting) > 2:
                yield waiting.pop(0)
        yield from waiting


@settings(max_examples=40)
@given(st.booleans(), st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), max_size=6))
def test_a_part_streams_its_own_numbers_and_the_rows_behind_them(ahead, asked):
    whole = (Ahead if ahead else Held)(torch.arange(10.0)[:, None], torch.arange(10))
    part = Part(whole, torch.tensor([7, 2, 9, 4]))
    streamed = list(part.stream(iter([torch.tensor(rows) for rows in asked])))
    assert [index.tolist() for index, _ in streamed] == asked
    for index, inputs in streamed:
        assert inputs.flatten().tolist() == part.rows[index].tolist()


def test_a_part_of_a_part_is_a_part():
    whole = Held(torch.arange(10.0)[:, None], torch.arange(10))
    inner = Part(Part(whole, torch.tensor([7, 2, 9, 4])), torch.tensor([3, 1]))
    assert len(inner) == 2
    assert inner.target.tolist() == [4, 2]
    ((index, inputs),) = inner.to(torch.device("cpu")).stream([torch.tensor([1, 0])])
    assert index.tolist() == [1, 0]
    assert inputs.flatten().tolist() == [2, 4]
