"""Where one weighting is another, and what torch's `weight=` makes of them."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.objective import Objective
from steelyard.core.rows import Clock, Evidence, Rows
from steelyard.weightings import BatchNormalised, Deferred, EffectiveNumber, InverseFrequency, Uniform, Weighting

counts_lists = st.lists(st.integers(0, 20_000), min_size=1, max_size=12).filter(any)
EARLY, LATE = Clock(epoch=159, epochs=200), Clock(epoch=160, epochs=200)


@st.composite
def problems(draw):
    counts = draw(counts_lists)
    stream = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    rows = draw(st.integers(1, 20))
    logits = 3 * torch.randn(rows, len(counts), generator=stream)
    return counts, logits, torch.randint(len(counts), (rows,), generator=stream)


def objective(weighting: Weighting, logits, target, share=None, clock=LATE):
    return Objective(weighting=weighting)(Rows(logits, target, share=share), clock).loss


@given(problems())
def test_limits_that_weigh_nothing(problem):
    counts, logits, target = problem
    plain = F.cross_entropy(logits, target)
    for weighting in (
        Uniform(),
        InverseFrequency(counts, power=0.0),
        EffectiveNumber(counts, beta=0.0),
        InverseFrequency([7] * len(counts)),
        EffectiveNumber([7] * len(counts), beta=0.9),
        BatchNormalised(Uniform()),
        Deferred(InverseFrequency(counts), after=1.0),
    ):
        torch.testing.assert_close(objective(weighting, logits, target), plain)


@given(counts_lists, st.sampled_from([1.0, 1 - 1e-12, 1 - 1e-15]))
def test_effective_number_goes_to_inverse_frequency(counts, beta):
    torch.testing.assert_close(
        EffectiveNumber(counts, beta=beta).class_weights, InverseFrequency(counts).class_weights, rtol=1e-6, atol=0
    )


@given(counts_lists, st.floats(0, 1e-9))
def test_effective_number_goes_to_uniform(counts, beta):
    torch.testing.assert_close(EffectiveNumber(counts, beta=beta).class_weights, torch.ones(len(counts)))


@given(counts_lists, st.floats(0, 3), st.integers(2, 1000))
def test_only_ratios_of_counts_matter_to_inverse_frequency(counts, power, factor):
    counts = [max(n, 1) for n in counts]
    torch.testing.assert_close(
        InverseFrequency([factor * n for n in counts], power).class_weights, InverseFrequency(counts, power).class_weights
    )


@given(problems())
def test_the_objective_divides_by_rows_where_torch_divides_by_weights(problem):
    counts, logits, target = problem
    weighting = InverseFrequency(counts)
    w = weighting.class_weights
    torch.testing.assert_close(
        objective(weighting, logits, target), F.cross_entropy(logits, target, weight=w, reduction="sum") / len(target)
    )
    torch.testing.assert_close(objective(BatchNormalised(weighting), logits, target), F.cross_entropy(logits, target, weight=w))


@given(problems())
def test_shares_take_rows_out_of_both_conventions(problem):
    counts, logits, target = problem
    share = torch.ones(len(target))
    share[1:] = torch.rand(len(target) - 1).round()
    kept = share > 0
    for weighting in (InverseFrequency(counts), BatchNormalised(InverseFrequency(counts))):
        torch.testing.assert_close(
            objective(weighting, logits, target, share), objective(weighting, logits[kept], target[kept])
        )


@given(problems(), st.floats(0, 1))
def test_deferred_is_one_thing_and_then_the_other(problem, after):
    counts, logits, target = problem
    plain, weighted = objective(Uniform(), logits, target), objective(EffectiveNumber(counts, 0.9999), logits, target)
    deferred = Deferred(EffectiveNumber(counts, 0.9999), after=after)
    for epoch in range(5):
        clock = Clock(epoch=epoch, epochs=5)
        expected = weighted if epoch / 5 >= after else plain
        torch.testing.assert_close(objective(deferred, logits, target, clock=clock), expected)


def test_the_schedule_of_the_paper_is_the_default_beta_from_four_fifths_on():
    counts = [5000, 500, 50]
    drw, late = Deferred(EffectiveNumber(counts), after=0.8), EffectiveNumber(counts, beta=0.9999)
    target = torch.tensor([0, 1, 2])
    assert torch.equal(drw(Evidence(target, clock=EARLY)), torch.ones(3))
    assert torch.equal(drw(Evidence(target, clock=LATE)), late(Evidence(target)))


@pytest.mark.parametrize("share", [None, torch.tensor([0.3, 0.7, 1.0, 0.0])])
def test_batch_normalised_weights_have_share_weighted_mean_one(share):
    weigh = BatchNormalised(InverseFrequency([100, 10, 1]))
    weights = weigh(Evidence(torch.tensor([0, 1, 2, 2]), share=share))
    mass = torch.ones(4) if share is None else share
    torch.testing.assert_close((mass * weights).sum() / mass.sum(), torch.tensor(1.0))
