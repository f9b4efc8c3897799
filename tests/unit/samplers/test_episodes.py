"""Episodes: which rows, how many, and that nothing leaks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.rows import Clock
from steelyard.data import Shots
from steelyard.samplers import EpisodeSampler

TARGETS = torch.arange(12).repeat_interleave(20)[torch.randperm(240, generator=torch.Generator().manual_seed(0))]


def same(one, other):
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("classes", "shots", "support", "query"))


@given(
    way=st.integers(2, 6),
    high=st.integers(1, 6),
    queries=st.integers(1, 5),
    profile=st.sampled_from(["balanced", "linear", "random", "unbiased", "tail"]),
    seed=st.integers(0, 1000),
)
def test_an_episode_is_what_it_says(way, high, queries, profile, seed):
    before = torch.get_rng_state()
    sampler = EpisodeSampler(TARGETS, way=way, shots=Shots(profile, 1, high), queries=queries, seed=seed)
    episode = sampler.episode(0)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(set(episode.classes.tolist())) == way
    assert torch.equal(TARGETS[episode.support], episode.classes[episode.support_label])
    assert torch.equal(TARGETS[episode.query], episode.classes[episode.query_label])
    assert torch.equal(torch.bincount(episode.support_label, minlength=way), episode.shots)
    assert torch.bincount(episode.query_label, minlength=way).tolist() == [queries] * way
    assert len(set(episode.index.tolist())) == len(episode.index)  # no row twice, so none is both support and query
    assert same(episode, EpisodeSampler(TARGETS, way=way, shots=Shots(profile, 1, high), queries=queries, seed=seed).episode(0))


def test_seeds_epochs_and_numbers_give_other_episodes():
    drawn = [
        tuple(EpisodeSampler(TARGETS, shots=3, queries=3, seed=seed).episode(number, epoch).index.tolist())
        for seed in (0, 1)
        for epoch in (0, 1)
        for number in (0, 1)
    ]
    assert len(set(drawn)) == 8


def test_balanced_profiles_are_plain_episodes_bit_for_bit():
    plain = EpisodeSampler(TARGETS, shots=5, queries=10, seed=3)
    for shots in (Shots("balanced", 5, 5), Shots("linear", 5, 5), Shots("random", 5, 5), (5, 5, 5, 5, 5)):
        other = EpisodeSampler(TARGETS, shots=shots, queries=10, seed=3)
        for number in range(3):
            assert same(plain.episode(number), other.episode(number))


def test_profiles_share_classes_and_queries_and_their_support_is_nested():
    few, many = (EpisodeSampler(TARGETS, shots=n, queries=10, seed=1).episode(4) for n in (2, 7))
    assert torch.equal(few.query, many.query)
    for label in range(5):
        small, large = few.support[few.support_label == label], many.support[many.support_label == label]
        assert torch.equal(small, large[:2])


def test_classes_of_equal_size_are_not_drawn_in_the_same_order():
    ordered = torch.arange(5).repeat_interleave(20)
    for number in range(5):
        episode = EpisodeSampler(ordered, shots=8, queries=10).episode(number)
        places = {tuple((episode.query[episode.query_label == label] % 20).tolist()) for label in range(5)}
        assert len(places) == 5


def test_counts_change_places_and_are_all_used():
    sampler = EpisodeSampler(TARGETS, shots=(1, 3, 5, 7, 9), queries=2, episodes=400)
    shots = torch.stack([episode.shots for episode in sampler])
    assert torch.equal(shots.sort(1).values, torch.tensor([1, 3, 5, 7, 9]).expand(400, 5))
    assert ((shots == 1).float().mean(0) - 0.2).abs().max() < 0.08


def test_processes_share_an_epoch_and_epochs_follow_each_other():
    whole = EpisodeSampler(TARGETS, shots=1, queries=1, episodes=5)
    first, second = ([episode.seed for episode in whole] for _ in range(2))
    assert not set(first) & set(second)
    parts = [EpisodeSampler(TARGETS, shots=1, queries=1, episodes=5, world=(rank, 2)) for rank in (0, 1)]
    assert [len(part) for part in parts] == [3, 3]
    shared = [episode.seed for pair in zip(*parts, strict=True) for episode in pair]
    assert shared[:5] == first


def test_batches_are_the_rows_of_episodes_from_a_position_on():
    sampler = EpisodeSampler(TARGETS, shots=2, queries=3, episodes=4)
    index = list(sampler.batches(Clock(epoch=1, position=2)))
    assert len(index) == 2
    assert torch.equal(index[0], sampler.episode(2, 1).index)


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"way": 13, "shots": 1}, DataError, "13-way episodes need at least 13 classes; there are 12"),
        ({"shots": 15, "queries": 10}, DataError, "lower shots or queries"),
        ({"way": 1}, ArgumentError, "way"),
        ({"queries": 0}, ArgumentError, "queries"),
        ({"shots": 0}, ArgumentError, "class without any cannot be told"),
        ({"shots": (1, 2)}, ArgumentError, "one for each of the 5 classes"),
        ({"episodes": 0}, ArgumentError, "episodes"),
        ({"world": (2, 2)}, ArgumentError, "rank"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_sentence(settings, error, said):
    with pytest.raises(error, match=said):
        EpisodeSampler(TARGETS, **settings)
