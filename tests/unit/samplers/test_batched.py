import itertools

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from steelyard.core.rows import Clock
from steelyard.samplers import BalancedSampler, Batched

TARGETS = torch.arange(103) % 7


@pytest.mark.parametrize("drop_last", [False, True])
def test_epochs_follow_each_other(drop_last):
    sampler = BalancedSampler(TARGETS, seed=1)
    batches = Batched(sampler, 10, drop_last)
    for epoch in range(3):
        expected = list(sampler.batches(10, Clock(epoch=epoch)))
        seen = list(batches)
        assert len(seen) == len(batches) == (10 if drop_last else 11)
        assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=False))


@pytest.mark.parametrize("position", range(12))
def test_resuming_gives_the_rest(position):
    straight, interrupted, resumed = (Batched(BalancedSampler(TARGETS, seed=2), 10) for _ in range(3))
    whole = list(straight) + list(straight)
    taken = list(itertools.islice(iter(interrupted), position))
    resumed.load_state_dict(interrupted.state_dict())
    rest = list(resumed) + list(resumed)
    assert [index.tolist() for index in taken + rest] == [index.tolist() for index in whole]


def test_taking_exactly_an_epoch_ends_it():
    batches = Batched(BalancedSampler(TARGETS, seed=2), 10)
    first, second = (list(itertools.islice(batches, len(batches))) for _ in range(2))
    assert len(second) == 11
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_data_loader_takes_it_as_batch_sampler(workers):
    data = TensorDataset(torch.arange(103), TARGETS)
    loader = DataLoader(data, batch_sampler=Batched(BalancedSampler(TARGETS, seed=3), 16), num_workers=workers)
    assert len(loader) == 7
    for epoch in range(2):
        expected = list(BalancedSampler(TARGETS, seed=3).batches(16, Clock(epoch=epoch)))
        seen = [rows for rows, _ in loader]
        assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))
