import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Clock
from steelyard.core.sampler import ShuffledSampler
from steelyard.samplers.balanced import BalancedSampler
from steelyard.samplers.batched import Batched
from steelyard.samplers.by_class import ClassSampler
from steelyard.samplers.deferred import DeferredSampler
from steelyard.samplers.power import PowerSampler
from steelyard.samplers.progressive import ProgressiveSampler

COUNTS = torch.tensor([3000, 900, 0, 90, 10])
TARGETS = torch.repeat_interleave(torch.arange(5), COUNTS)[torch.randperm(4000, generator=torch.Generator().manual_seed(0))]
DRAWS = 200_000


def rows_of(sampler: ClassSampler | DeferredSampler, clock: Clock | None = None) -> Tensor:
    return torch.cat(list(sampler.batches(4096, clock)))


def chi_square(seen: Tensor, probabilities: Tensor) -> float:
    """Pearson's statistic in standard deviations above its mean."""
    expected = probabilities * seen.sum()
    possible = expected > 0
    assert bool((seen[~possible] == 0).all())
    freedom = max(int(possible.sum()) - 1, 1)
    statistic = float((((seen - expected) ** 2)[possible] / expected[possible]).sum())
    return (statistic - freedom) / math.sqrt(2 * freedom)


def check_draws(sampler: ClassSampler | DeferredSampler, classes: Tensor, clock: Clock | None = None) -> None:
    """Class frequencies, and frequencies of every single row, are what they should be."""
    rows = rows_of(sampler, clock)
    assert chi_square(torch.bincount(TARGETS[rows], minlength=5), classes) < 4
    per_row = (classes / COUNTS.clamp_min(1))[TARGETS]
    assert -4 < chi_square(torch.bincount(rows, minlength=4000), per_row) < 4


def probabilities(*values: float) -> Tensor:
    table = torch.tensor(values, dtype=torch.float64)
    return table / table.sum()


def test_balanced_draws_classes_and_their_rows_equally_often():
    check_draws(BalancedSampler(TARGETS, DRAWS, seed=3), probabilities(1, 1, 0, 1, 1))


@pytest.mark.parametrize("power", [1.0, 0.5, 0.0, -1.0, 0.25])
def test_power_draws_classes_by_a_power_of_their_size(power):
    classes = probabilities(*(float(n) ** power if n else 0.0 for n in COUNTS.tolist()))
    sampler = PowerSampler(TARGETS, DRAWS, seed=4, power=power)
    assert torch.allclose(sampler.class_probabilities(), classes, rtol=1e-12)
    check_draws(sampler, classes)


def test_extreme_powers_stay_finite():
    assert PowerSampler(TARGETS, power=1e4).class_probabilities().tolist() == [1, 0, 0, 0, 0]
    assert PowerSampler(TARGETS, power=-1e4).class_probabilities().tolist() == [0, 0, 0, 0, 1]
    assert set(TARGETS[list(PowerSampler(TARGETS, power=-1e4))].tolist()) == {4}


def test_power_zero_draws_what_balanced_draws():
    assert torch.equal(rows_of(PowerSampler(TARGETS, seed=2, power=0.0)), rows_of(BalancedSampler(TARGETS, seed=2)))


@pytest.mark.parametrize("epoch", [0, 3, 9])
def test_progressive_moves_with_the_clock(epoch):
    done = epoch / 10
    classes = (1 - done) * COUNTS / 4000 + done * probabilities(1, 1, 0, 1, 1)
    check_draws(ProgressiveSampler(TARGETS, DRAWS, seed=5), classes, Clock(epoch=epoch, epochs=10))


def test_progressive_with_epochs_of_its_own_ends_balanced():
    sampler = ProgressiveSampler(TARGETS, epochs=4)
    even = probabilities(1, 1, 0, 1, 1)
    assert torch.allclose(sampler.class_probabilities(Clock(epoch=2, epochs=100)), (COUNTS / 4000 + even) / 2)
    assert torch.equal(sampler.class_probabilities(Clock(epoch=7, epochs=100)), even)


@given(st.integers(1, 300), st.data())
def test_deferred_switches_at_the_epoch_that_drw_does(epochs, data):
    first = data.draw(st.integers(0, epochs - 1))  # the first balanced epoch
    sampler = DeferredSampler(TARGETS, after=first / epochs)
    switched = [sampler.is_balanced(Clock(epoch=epoch, epochs=epochs)) for epoch in range(epochs)]
    assert switched == [epoch >= first for epoch in range(epochs)]


def test_deferred_is_shuffled_before_and_balanced_after():
    deferred, shuffled, balanced = (kind(TARGETS, seed=6) for kind in (DeferredSampler, ShuffledSampler, BalancedSampler))
    for epoch in range(10):
        clock = Clock(epoch=epoch, epochs=10)
        assert torch.equal(rows_of(deferred, clock), rows_of(balanced if epoch >= 8 else shuffled, clock))
    check_draws(DeferredSampler(TARGETS, DRAWS, seed=1, after=0.5), probabilities(1, 1, 0, 1, 1), Clock(epoch=5, epochs=10))


def test_deferred_at_its_ends():
    assert DeferredSampler(TARGETS, after=0.0).is_balanced(Clock(epoch=0, epochs=1))
    assert not DeferredSampler(TARGETS, after=1.0, epochs=3).is_balanced(Clock(epoch=7))


@pytest.mark.parametrize("kind", [ProgressiveSampler, DeferredSampler])
def test_samplers_with_a_time_table_do_not_guess_its_length(kind):
    unknown = kind(TARGETS)
    assert len(list(unknown)) == 4000  # the first epoch is the same whatever the length
    with pytest.raises(ArgumentError, match="epochs"):
        list(unknown)
    known, clocked = kind(TARGETS, epochs=5), kind(TARGETS)
    for epoch in range(5):
        assert list(known) == rows_of(clocked, Clock(epoch=epoch, epochs=5)).tolist()


@given(st.lists(st.integers(0, 6), min_size=1, max_size=50), st.integers(0, 9))
def test_drawn_rows_exist_and_belong_to_classes_with_rows(labels, seed):
    for sampler in (BalancedSampler(labels, 40, seed), PowerSampler(labels, 40, seed), ProgressiveSampler(labels, 40, seed)):
        rows = list(sampler)
        assert len(rows) == 40
        assert all(0 <= row < len(labels) for row in rows)
        assert sampler.class_counts.tolist() == [labels.count(c) for c in range(max(labels) + 1)]


def test_a_class_of_one_row_gets_its_turns():
    rows = list(BalancedSampler([0] * 999 + [1], 10_000, seed=0))
    assert 4700 < rows.count(999) < 5300


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool])
def test_labels_of_any_integer_type_draw_the_same(dtype):
    labels = torch.tensor([0, 1, 1, 0, 1])
    assert list(BalancedSampler(labels.to(dtype), 50)) == list(BalancedSampler(labels, 50))
    assert list(BalancedSampler(np.array([0, 1, 1, 0, 1], dtype=np.uint16), 50)) == list(BalancedSampler([0, 1, 1, 0, 1], 50))


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: BalancedSampler([]), "targets"),
        (lambda: BalancedSampler([[0, 1]]), "targets"),
        (lambda: BalancedSampler([0.0, 1.0]), "targets"),
        (lambda: BalancedSampler(["cat", "dog"]), "targets"),
        (lambda: BalancedSampler([0, -1]), "targets"),
        (lambda: BalancedSampler([0, 2**40]), "targets"),
        (lambda: DeferredSampler([0, -1]), "targets"),
        (lambda: BalancedSampler([0, 1], 0), "num_samples"),
        (lambda: PowerSampler([0, 1], 0.5), "num_samples"),
        (lambda: BalancedSampler([0, 1], rank=2, world_size=2), "rank"),
        (lambda: BalancedSampler([0, 1], world_size=0), "world_size"),
        (lambda: PowerSampler([0, 1], power=math.nan), "power"),
        (lambda: DeferredSampler([0, 1], after=1.5), "after"),
        (lambda: DeferredSampler([0, 1], epochs=0), "epochs"),
        (lambda: ProgressiveSampler([0, 1], epochs=0), "epochs"),
        (lambda: list(BalancedSampler([0, 1]).batches(0)), "size"),
        (lambda: Batched(BalancedSampler([0, 1]), 0), "size"),
        (lambda: Batched(BalancedSampler([0, 1]), 3, drop_last=True), "size"),
    ],
)
def test_bad_arguments_are_named(build, named):
    with pytest.raises(ArgumentError) as caught:
        build()
    assert caught.value.argument == named
    assert "\n" not in str(caught.value)
