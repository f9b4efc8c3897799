"""UnderSampler: rounds without replacement, every row in its turn, evenly."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.rows import Clock
from steelyard.samplers import UnderSampler


@given(counts=st.lists(st.integers(0, 12), min_size=1, max_size=5).filter(any), seed=st.integers(0, 9))
def test_a_round_holds_every_class_equally_often_and_no_row_twice(counts, seed):
    targets = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    smallest = min(n for n in counts if n)
    sampler = UnderSampler(targets, num_samples=5 * smallest * len(counts), seed=seed)
    assert sampler.round == smallest * sum(n > 0 for n in counts)
    for drawn in list(sampler.batches(sampler.round))[:5]:
        if len(drawn) == sampler.round:
            assert len(drawn.unique()) == sampler.round
            assert torch.bincount(targets[drawn], minlength=len(counts)).tolist() == [smallest if n else 0 for n in counts]


def test_consecutive_rounds_use_a_class_up_before_they_repeat():
    sampler = UnderSampler([0] * 30 + [1] * 10, num_samples=60)
    rounds = torch.stack(list(sampler.batches(20)))
    assert sorted(rounds[rounds < 30].tolist()) == list(range(30))
    assert all(sorted(drawn[drawn >= 30].tolist()) == list(range(30, 40)) for drawn in rounds)
    assert not torch.equal(rounds[0][rounds[0] >= 30], rounds[1][rounds[1] >= 30])


def test_rows_of_a_class_come_equally_often_over_epochs():
    sampler = UnderSampler([0] * 25 + [1] * 4)
    drawn = torch.cat([torch.cat(list(sampler.batches(29, Clock(epoch=e)))) for e in range(400)])
    often = torch.bincount(drawn, minlength=29).double()
    assert abs(float(often[:25].sum() / often.sum()) - 0.5) < 0.01
    assert bool(((often[:25] / often[:25].mean() - 1).abs() < 0.2).all())
