"""What holds for every sampler; a public sampler that is not listed here fails the first test."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import steelyard.samplers
from steelyard.core.rows import Clock
from steelyard.core.sampler import Sampler, ShuffledSampler
from steelyard.samplers import BalancedSampler, ClassSampler, DeferredSampler, PowerSampler, ProgressiveSampler, UnderSampler
from steelyard.samplers.by_class import CHUNK

Factory = Callable[..., Sampler]

SAMPLERS: dict[str, Factory] = {
    "shuffled": ShuffledSampler,
    "balanced": BalancedSampler,
    "square root": PowerSampler,
    "natural": partial(PowerSampler, power=1.0),
    "progressive": partial(ProgressiveSampler, epochs=10),
    "deferred, before": partial(DeferredSampler, epochs=10),
    "deferred, behind": partial(DeferredSampler, after=0.0),
    "under": UnderSampler,
    "deferred, between": partial(DeferredSampler, after=0.1, epochs=10),
}
ABSTRACT = {Sampler, ClassSampler}
# Long enough for three chunks, and no multiple of anything.
LONG = 2 * CHUNK + 1237
TARGETS = torch.cat([torch.zeros(300), torch.ones(40), torch.full((1,), 3.0), torch.full((30,), 4.0)]).long()

every_sampler = pytest.mark.parametrize("build", SAMPLERS.values(), ids=SAMPLERS)


def rows_of(sampler: Sampler, epoch: int = 0, size: int = 100) -> Tensor:
    return torch.cat(list(sampler.batches(size, Clock(epoch=epoch, epochs=10))))


def test_every_public_sampler_is_under_the_law():
    public = {getattr(steelyard.samplers, name) for name in steelyard.samplers.__all__}
    concrete = {kind for kind in public if issubclass(kind, Sampler)} - ABSTRACT
    listed = {build.func if isinstance(build, partial) else build for build in SAMPLERS.values()}
    assert concrete == listed


@every_sampler
@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=30),
    seed=st.integers(0, 3),
    epoch=st.integers(0, 9),
    size=st.integers(1, 40),
)
def test_an_epoch_is_a_function_of_seed_and_epoch(build, labels, seed, epoch, size):
    targets = torch.tensor(labels)
    before = torch.get_rng_state()
    rows = rows_of(build(targets, seed=seed), epoch, size)
    assert torch.equal(torch.get_rng_state(), before)
    assert rows.dtype == torch.int64
    assert len(rows) == len(labels)
    assert bool(((rows >= 0) & (rows < len(labels))).all())
    used = build(targets, seed=seed)
    rows_of(used, (epoch + 3) % 10)
    assert torch.equal(rows_of(used, epoch, size + 1), rows)


@every_sampler
def test_epochs_and_seeds_differ(build):
    drawn = {tuple(rows_of(build(TARGETS, seed=seed), epoch).tolist()) for seed in range(3) for epoch in range(3)}
    assert len(drawn) == 9


@every_sampler
@pytest.mark.parametrize("world", [2, 3, 4, 7])
@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_processes_together_draw_what_one_draws(build, world, epoch):
    alone = rows_of(build(TARGETS, num_samples=LONG), epoch)
    shares = [build(TARGETS, num_samples=LONG, rank=rank, world_size=world) for rank in range(world)]
    drawn = [rows_of(share, epoch) for share in shares]
    assert {len(rows) for rows in drawn} == {-(-LONG // world)} == {len(share) for share in shares}
    assert torch.equal(torch.stack(drawn, 1).flatten()[:LONG], alone)


@every_sampler
@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.parametrize("size", [1, 7, 256, CHUNK, CHUNK + 1, 10 * CHUNK])
def test_batches_from_a_position_are_the_tail(build, world, size):
    samples = min(LONG, 150 * size)
    sampler = build(TARGETS, num_samples=samples, rank=world - 1, world_size=world)
    whole = rows_of(sampler, 2, 999)
    batches = -(-len(sampler) // size)
    for position in {0, 1, 2, batches // 2, batches - 1, batches}:
        tail = list(sampler.batches(size, Clock(epoch=2, epochs=10, position=position)))
        assert [len(index) for index in tail[:-1]] == [size] * (len(tail) - 1)
        assert len(tail) == max(batches - position, 0)
        assert torch.equal(torch.cat([*tail, whole[:0]]), whole[position * size :])


@every_sampler
def test_ints_are_the_batches_concatenated_epoch_after_epoch(build):
    by_int, by_batch = build(TARGETS, num_samples=1000), build(TARGETS, num_samples=1000)
    for epoch in range(3):
        rows = list(by_int)
        assert {type(row) for row in rows} == {int}
        assert len(rows) == len(by_int) == 1000
        assert rows == rows_of(by_batch, epoch, 64).tolist()


@every_sampler
@pytest.mark.parametrize("position", [0, 1, 17, CHUNK - 1, CHUNK, CHUNK + 1, LONG - 1, LONG])
def test_an_interrupted_iteration_goes_on_where_it_was(build, position):
    straight, interrupted, resumed = (build(TARGETS, num_samples=LONG, seed=1) for _ in range(3))
    list(interrupted)
    taken = list(itertools.islice(iter(interrupted), position))
    state = interrupted.state_dict()
    assert state == {"epoch": 1, "position": position}
    list(straight)
    whole = list(straight)
    resumed.load_state_dict(state)
    assert taken + list(resumed) == whole
    assert list(resumed) == list(straight)  # and the epoch after that is the right one


@every_sampler
def test_breaking_off_and_iterating_again_goes_on(build):
    straight, sampler = (build(TARGETS, num_samples=500) for _ in range(2))
    parts = [list(itertools.islice(iter(sampler), 200)), list(itertools.islice(iter(sampler), 100)), list(sampler)]
    assert sum(parts, []) == list(straight)  # noqa: RUF017


@every_sampler
def test_taking_exactly_an_epoch_ends_it(build):
    straight, sampler = (build(TARGETS, num_samples=500) for _ in range(2))
    for _ in range(3):
        assert list(itertools.islice(sampler, len(sampler))) == list(straight)


@every_sampler
def test_pickling_keeps_the_place(build):
    sampler = build(TARGETS, num_samples=500)
    list(itertools.islice(iter(sampler), 123))
    assert list(pickle.loads(pickle.dumps(sampler))) == list(sampler)


@every_sampler
def test_a_data_loader_takes_it_as_sampler(build):
    data = TensorDataset(torch.arange(len(TARGETS)), TARGETS)
    sampler, same = build(TARGETS, num_samples=333), build(TARGETS, num_samples=333)
    loader = DataLoader(data, batch_size=32, sampler=sampler)
    assert len(loader) == 11
    for _ in range(2):
        assert torch.cat([rows for rows, _ in loader]).tolist() == list(same)


@every_sampler
def test_a_data_loader_takes_index_tensors(build):
    data = TensorDataset(torch.arange(len(TARGETS)), TARGETS)
    sampler = build(TARGETS)
    loader = DataLoader(data, batch_sampler=sampler.batches(50, Clock(epoch=1, epochs=10)))
    assert torch.equal(torch.cat([rows for rows, _ in loader]), rows_of(sampler, 1))


@every_sampler
def test_a_longer_epoch_begins_like_a_shorter_one(build):
    longer = rows_of(build(TARGETS, num_samples=CHUNK + 500), 1)
    for shorter in (1, 15, 16, 1000, CHUNK):
        assert torch.equal(rows_of(build(TARGETS, num_samples=shorter), 1), longer[:shorter])


@pytest.mark.parametrize("build", [BalancedSampler, PowerSampler, ProgressiveSampler, partial(DeferredSampler, after=0.0)])
def test_rows_beyond_single_precision_are_reached(build):
    # Single precision cannot tell 2^24 + 1 from 2^24, and torch.multinomial takes no more than 2^24 rows.
    targets = torch.zeros(2**24 + 10, dtype=torch.int8)
    targets[2**24 - 10 :] = 1
    rows = rows_of(build(targets, num_samples=200_000, seed=3), epoch=5)
    tail = rows[rows >= 2**24]
    assert bool((tail % 2 == 1).any())
    assert bool((tail % 2 == 0).any())
    if not issubclass(getattr(build, "func", build), (PowerSampler, ProgressiveSampler)):
        assert set(rows[targets[rows] == 1].tolist()) == set(range(2**24 - 10, 2**24 + 10))
    # Rows of the large class are odd as often as even, all the way up.
    large = rows[targets[rows] == 0]
    upper = large[large > 2**23]
    assert abs(float((upper % 2).double().mean()) - 0.5) < 5 * 0.5 / len(upper) ** 0.5
    assert abs(len(upper) / len(large) - 0.5) < 5 * 0.5 / len(large) ** 0.5
