"""Batches beside those of the loop: a pure function of seed and number."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Held, blobs
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool, check_pool
from steelyard.core.rows import Batch, Clock, Rows
from steelyard.core.sampler import ShuffledSampler
from steelyard.core.task import Part
from steelyard.core.world import World, launch
from steelyard.samplers import BalancedSampler


def oracle() -> Oracle:
    return Oracle(nn.Linear(4, 3), lambda model, batch: Rows(model(batch.inputs), batch.target), Objective())


def numbered(rows: int) -> Held:
    """Row i is the number i, in four columns."""
    return Held(torch.arange(float(rows))[:, None].expand(rows, 4), torch.arange(rows) % 3)


def drawn(pool: RowPool, numbers: Iterable[int], where: Oracle | None = None) -> list[list[int]]:
    where = oracle() if where is None else where
    return [pool.batch(where, number).index.tolist() for number in numbers]


def joined(batches: list[list[int]]) -> list[int]:
    return [row for batch in batches for row in batch]


class Ahead(Held):
    """Reads three batches ahead, as a source with workers does."""

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        waiting = []
        for index in batches:
            waiting.append((index, self.inputs[index]))
            if len(waiting) > 3:
                yield waiting.pop(0)
        yield from waiting


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5), st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_a_batch_is_a_function_of_seed_and_number(rows, size, seed, numbers):
    """In any order, from any pool of the same settings."""
    source = numbered(rows)
    straight = drawn(RowPool(source, batch_size=size, seed=seed), range(41))
    jumping = RowPool(source, batch_size=size, seed=seed)
    assert drawn(jumping, numbers) == [straight[number] for number in numbers]
    assert drawn(RowPool(Ahead(source.inputs, source.target), batch_size=size, seed=seed), numbers) == [
        straight[number] for number in numbers
    ]


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 40))
def test_going_on_at_any_number_is_going_on(rows, size, first):
    source = numbered(rows)
    straight = drawn(RowPool(source, batch_size=size), range(first + 9))
    assert drawn(RowPool(source, batch_size=size), range(first, first + 9)) == straight[first:]


def test_the_number_is_the_step_of_the_clock_where_none_is_given():
    where, pool = oracle(), RowPool(numbered(20), batch_size=3)
    expected = drawn(RowPool(numbered(20), batch_size=3), range(10))
    for step in (0, 1, 2, 7, 8, 3):
        where.clock = Clock(step=step)
        assert pool.batch(where).index.tolist() == expected[step]


def test_an_epoch_draws_each_row_once_and_epochs_differ():
    batches = drawn(RowPool(numbered(20), batch_size=5), range(8))
    first, second = joined(batches[:4]), joined(batches[4:])
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_a_last_smaller_batch_is_left_out():
    assert {len(batch) for batch in drawn(RowPool(numbered(23), batch_size=5), range(12))} == {5}


def test_a_pool_smaller_than_the_batch_gives_all_its_rows_each_time():
    batches = drawn(RowPool(numbered(4), batch_size=100), range(5))
    assert [sorted(batch) for batch in batches] == [[0, 1, 2, 3]] * 5
    assert len({tuple(batch) for batch in batches}) > 1


def test_a_single_row_works():
    assert drawn(RowPool(numbered(1), batch_size=10), range(3)) == [[0], [0], [0]]


def test_seeds_differ():
    assert drawn(RowPool(numbered(30), seed=0), [0]) != drawn(RowPool(numbered(30), seed=1), [0])


def test_inputs_targets_and_numbers_belong_together_and_inputs_are_read():
    where, source = oracle(), numbered(20)
    where.read = lambda inputs: inputs + 0.5
    batch = RowPool(source, batch_size=6).batch(where, 3)
    torch.testing.assert_close(batch.inputs[:, 0], batch.index.float() + 0.5)
    assert torch.equal(batch.target, source.target[batch.index])


def test_the_sampler_says_in_which_order():
    source = blobs((90, 9, 1), 0)
    batches = drawn(RowPool(source, batch_size=50, sampler=BalancedSampler), range(20))
    classes = Counter(source.target[torch.tensor(joined(batches))].tolist())
    assert all(250 < classes[label] < 420 for label in range(3))
    assert drawn(RowPool(source, sampler=ShuffledSampler), [0]) == drawn(RowPool(source), [0])


def test_everything_is_every_row_once_in_order():
    where, source = oracle(), numbered(11)
    parts = list(RowPool(source).everything(where, size=4))
    assert [len(part.target) for part in parts] == [4, 4, 3]
    assert torch.cat([part.index for part in parts]).tolist() == list(range(11))
    assert torch.equal(torch.cat([part.inputs for part in parts]), source.inputs)


def test_a_copy_shares_the_rows_and_draws_the_same():
    source = numbered(20)
    pool = RowPool(source, batch_size=3, seed=4, sampler=BalancedSampler)
    before = drawn(pool, range(4))
    for other in (copy.deepcopy(pool), copy.deepcopy(nn.ModuleList([Holding(pool)]))[0].pool):
        assert other.source is source
        assert drawn(other, range(4)) == before
    fresh = pickle.loads(pickle.dumps(RowPool(source, batch_size=3, seed=4, sampler=BalancedSampler)))
    assert drawn(fresh, range(4)) == before


class Holding(nn.Module):
    """A part with a pool."""

    def __init__(self, pool: RowPool) -> None:
        super().__init__()
        self.pool = pool


def test_the_pool_draws_from_no_generator_of_others():
    where = oracle()
    before, own = torch.get_rng_state(), where.generator.get_state()
    drawn(RowPool(numbered(20)), range(5), where)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(where.generator.get_state(), own)


@pytest.mark.parametrize("size", [0, -1])
def test_wrong_sizes_are_named(size):
    with pytest.raises(ArgumentError, match="`batch_size`"):
        RowPool(numbered(3), batch_size=size)


def test_an_empty_source_is_refused():
    with pytest.raises(ArgumentError, match="`source`"):
        RowPool(Part(numbered(3), torch.empty(0, dtype=torch.int64)))


@pytest.mark.parametrize("source", [(torch.eye(3), torch.arange(3)), torch.eye(3), None])
def test_inputs_and_classes_as_they_are_are_no_source(source):
    with pytest.raises(ArgumentError, match="`source` should be a source of rows"):
        RowPool(source)


def test_a_pool_is_asked_for_where_one_is_needed():
    with pytest.raises(ArgumentError, match="`meta` should be a RowPool"):
        check_pool(numbered(3), "meta")
    pool = RowPool(numbered(3))
    assert check_pool(pool, "meta") is pool


def of_each_process() -> list[list[list[int]]]:
    return World.current().gather(drawn(RowPool(numbered(24), batch_size=6, seed=2), [0, 1, 2, 9, 4]))


@pytest.mark.multiprocess
def test_two_processes_draw_what_one_would():
    (alone,) = of_each_process()
    first, second = launch(of_each_process, 2)
    for whole, one, other in zip(alone, first, second, strict=True):
        assert len(one) == len(other) == 3
        assert sorted(one + other) == sorted(whole)


def test_a_batch_is_a_batch():
    assert isinstance(RowPool(numbered(3)).batch(oracle(), 0), Batch)
