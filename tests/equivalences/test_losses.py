"""Where one loss is another: identities between public classes, on random logits, counts and settings."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from steelyard import losses, weightings
from steelyard.core.counts import prior
from steelyard.core.objective import Objective
from steelyard.core.rows import Clock, Evidence, Rows
from steelyard.numeric import nll


@pytest.fixture(params=["plain", "fused"], autouse=True, scope="module")
def path(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nll, "FUSE_FROM", 0 if request.param == "fused" else 1 << 60)
        yield request.param


@st.composite
def problems(draw, equal=False):
    """Counts, logits, labels."""
    classes, rows = draw(st.integers(1, 12)), draw(st.integers(1, 20))
    size = st.integers(0, 20_000)
    counts = (
        [draw(st.integers(1, 20_000))] * classes
        if equal
        else draw(st.lists(size, min_size=classes, max_size=classes).filter(any))
    )
    stream = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits = draw(st.sampled_from([0.1, 2.0, 30.0])) * torch.randn(rows, classes, generator=stream, dtype=torch.float64)
    return counts, logits, torch.randint(classes, (rows,), generator=stream)


taus = st.floats(-2, 4)
quotients = st.floats(0, 0.95)


def same(one, two, logits, target, factor=1.0):
    """Equal values, and equal gradients."""
    pairs = []
    for loss in (one, two):
        leaf = logits.clone().requires_grad_()
        values = loss.rows(leaf, target) if isinstance(loss, losses.Loss) else loss(leaf, target)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
        pairs.append((values.detach(), gradient))
    (values, gradient), (others, other) = pairs
    torch.testing.assert_close(values, factor * others, rtol=1e-9, atol=1e-9 * max(1.0, abs(factor)))
    torch.testing.assert_close(gradient, factor * other, rtol=1e-9, atol=1e-9 * max(1.0, abs(factor)))


def torch_ce(logits, target):
    return F.cross_entropy(logits, target, reduction="none")


@given(problems())
def test_cross_entropy_is_that_of_torch(problem):
    _, logits, target = problem
    same(losses.CrossEntropy(), torch_ce, logits, target)


@given(problems())
def test_the_four_names_of_balanced_softmax(problem):
    counts, logits, target = problem
    reference = losses.LogitAdjusted(counts)
    same(losses.BalancedSoftmax(counts), reference, logits, target)
    same(losses.ARB(counts), reference, logits, target)
    same(losses.GeneralizedLogitAdjusted(counts, q=0.0), reference, logits, target)
    same(losses.GeneralizedLogitAdjusted(counts, q=0.0, tau=1.0), reference, logits, target)


@given(problems(), taus)
def test_gla_without_q_is_logit_adjustment_of_any_strength(problem, tau):
    counts, logits, target = problem
    same(losses.GeneralizedLogitAdjusted(counts, q=0.0, tau=tau), losses.LogitAdjusted(counts, tau=tau), logits, target)


@given(problems())
def test_limits_that_are_cross_entropy(problem):
    counts, logits, target = problem
    for loss in (
        losses.LogitAdjusted(counts, tau=0.0),
        losses.GeneralizedLogitAdjusted(counts, q=0.0, tau=0.0),
        losses.Focal(0.0),
        losses.ClassSmoothing(counts, 0.0, 0.0, "head"),
        losses.ClassSmoothing(counts, 0.0, 0.0, "tail"),
    ):
        same(loss, torch_ce, logits, target)


def gce(q):
    """Zhang and Sabuncu's generalized cross-entropy, with the softmax written out."""

    def values(logits, target):
        u = torch.softmax(logits, 1).gather(1, target[:, None]).squeeze(1)
        return -u.log() if q == 0 else (1 - u**q) / q

    return values


@given(problems(equal=True), st.one_of(st.just(0.0), st.floats(0.05, 0.95)))
def test_equal_counts_make_both_families_generalized_cross_entropy(problem, q):
    counts, logits, target = problem
    logits = logits.clamp(-20, 20)
    same(losses.GeneralizedLogitAdjusted(counts, q=q), gce(q), logits, target)
    for weight in ("rho_over_prior", "inverse_prior"):
        same(losses.GeneralizedClassAware(counts, q=q, weight=weight), gce(q), logits, target, factor=len(counts))
        for normalise in ("rows", "classes"):
            loss = losses.GeneralizedClassAware(counts, q=q, weight=weight, normalise=normalise)
            same(loss, gce(q), logits, target)


@given(problems(equal=True), taus)
def test_equal_counts_leave_every_base_as_it_is(problem, tau):
    counts, logits, target = problem
    for loss in (
        losses.LogitAdjusted(counts, tau=tau),
        losses.BalancedSoftmax(counts),
        losses.ARB(counts),
        losses.GeneralizedLogitAdjusted(counts, tau=tau),
        losses.GeneralizedClassAware(counts, normalise="classes"),
    ):
        same(loss, torch_ce, logits, target)
    for direction in ("head", "tail"):
        same(
            losses.ClassSmoothing(counts, 0.1, 0.3, direction),
            lambda z, y: F.cross_entropy(z, y, reduction="none", label_smoothing=0.1),
            logits,
            target,
        )
    everywhere = losses.LDAM(counts, max_margin=0.3, scale=7.0)
    same(everywhere, lambda z, y: torch_ce(7 * (z - 0.3 * F.one_hot(y, z.shape[1]).double()), y), logits, target)


@given(problems())
def test_class_aware_without_q_or_margins_is_weighted_cross_entropy(problem):
    counts, logits, target = problem
    pi = prior(counts)
    for weight in ("rho_over_prior", "inverse_prior"):
        loss = losses.GeneralizedClassAware(counts, weight=weight)
        same(loss, lambda z, y: F.cross_entropy(z, y, weight=1 / pi, reduction="none"), logits, target)
    sum_of_weights = (1 / pi)[target].sum()
    mean = losses.GeneralizedClassAware(counts)(logits, target) * len(target) / sum_of_weights
    torch.testing.assert_close(mean, F.cross_entropy(logits, target, weight=1 / pi))


@given(problems())
def test_class_aware_with_weights_of_mean_one_is_inverse_frequency(problem):
    counts, logits, target = problem
    loss = losses.GeneralizedClassAware(counts, normalise="classes")(logits, target)
    weighted = Objective(losses.CrossEntropy(), weightings.InverseFrequency(counts))(Rows(logits, target), Clock()).loss
    torch.testing.assert_close(loss, weighted, rtol=1e-6, atol=1e-9)


@given(problems(), quotients, st.floats(0.2, 5))
def test_equal_margins_are_a_temperature(problem, q, rho):
    counts, logits, target = problem
    margins = [rho] * len(counts)
    plain = losses.GeneralizedClassAware(counts, q=q)
    same(losses.GeneralizedClassAware(counts, q=q, margins=margins), lambda z, y: rho * plain.rows(z / rho, y), logits, target)
    other = losses.GeneralizedClassAware(counts, q=q, margins=margins, weight="inverse_prior")
    same(other, lambda z, y: plain.rows(z / rho, y), logits, target)


@given(problems(), st.sampled_from([1e-12, 1e-9, 1e-6]))
def test_q_goes_to_zero_continuously(problem, q):
    counts, logits, target = problem
    logits = logits.clamp(-20, 20)
    pairs = [
        (losses.GeneralizedLogitAdjusted(counts, q=q, tau=1.0), losses.GeneralizedLogitAdjusted(counts, tau=1.0)),
        (losses.GeneralizedClassAware(counts, q=q, normalise="rows"), losses.GeneralizedClassAware(counts, normalise="rows")),
    ]
    for small, limit in pairs:
        torch.testing.assert_close(small.rows(logits, target), limit.rows(logits, target), rtol=1e-4, atol=1e-8)


@given(problems(), quotients)
def test_gradient_of_a_bounded_loss_is_that_of_the_logarithm_times_a_power(problem, q):
    counts, logits, target = problem
    leaf = logits.clone().requires_grad_()
    log_loss = losses.GeneralizedLogitAdjusted(counts, q=0.0, tau=1.5).rows(leaf, target)
    (expected,) = torch.autograd.grad(log_loss, leaf, torch.exp(-q * log_loss.detach()))
    (found,) = torch.autograd.grad(losses.GeneralizedLogitAdjusted(counts, q=q, tau=1.5).rows(leaf, target).sum(), leaf)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-12)


@given(problems())
def test_arb_on_a_batch_is_balanced_softmax_of_the_classes_in_it(problem):
    counts, logits, target = problem
    here = torch.bincount(target, minlength=len(counts))
    present = here > 0
    new_name = present.cumsum(0) - 1
    masked = losses.BalancedSoftmax(here[present])
    same(losses.ARB(), lambda z, y: masked.rows(z[:, present], new_name[y]), logits, target)


@given(problems(), st.integers(1, 10**4))
def test_only_ratios_of_counts_matter_to_shifts_and_margins(problem, factor):
    counts, logits, target = problem
    counts = [max(n, 1) for n in counts]
    scaled = [factor * n for n in counts]
    for make in (
        losses.LogitAdjusted,
        losses.BalancedSoftmax,
        losses.ARB,
        losses.GeneralizedClassAware,
        lambda n: losses.LDAM(n, scale=3.0),
        lambda n: losses.ClassSmoothing(n, 0.0, 0.5, "tail"),
        lambda n: losses.ClassSmoothing(n, 0.0, 0.5, "head"),
    ):
        same(make(scaled), make(counts), logits, target)


@given(problems(), st.floats(0.5, 40))
def test_ldam_without_margins_is_a_scaled_softmax(problem, scale):
    counts, logits, target = problem
    same(losses.LDAM(counts, max_margin=0.0, scale=scale), lambda z, y: torch_ce(scale * z, y), logits, target)


@given(problems(), st.floats(0, 0.99))
def test_one_smoothing_for_all_is_that_of_torch(problem, smoothing):
    counts, logits, target = problem
    for direction in ("head", "tail"):
        loss = losses.ClassSmoothing(counts, smoothing, smoothing, direction)
        same(loss, lambda z, y: F.cross_entropy(z, y, reduction="none", label_smoothing=smoothing), logits, target)


@given(problems(), st.floats(0, 5))
def test_focal_is_at_most_cross_entropy_and_falls_with_gamma(problem, gamma):
    _, logits, target = problem
    values = losses.Focal(gamma).rows(logits, target)
    assert bool((values <= torch_ce(logits, target) + 1e-12).all())
    assert bool((losses.Focal(gamma + 1).rows(logits, target) <= values + 1e-12).all())


@given(problems())
def test_class_balanced_focal_is_the_weight_times_the_focal_loss(problem):
    counts, logits, target = problem
    weighting = weightings.EffectiveNumber(counts, beta=0.999)
    found = Objective(losses.Focal(2.0), weighting)(Rows(logits, target), Clock()).loss
    expected = (weighting(Evidence(target)) * losses.Focal(2.0).rows(logits, target)).mean()
    torch.testing.assert_close(found, expected)
