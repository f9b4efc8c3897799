"""Every loss against its formula, written out with exponentials in 60-digit decimals and loops."""

import math
from collections.abc import Callable
from decimal import Decimal, getcontext, localcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import losses
from steelyard.core.objective import Objective
from steelyard.core.rows import Clock, Rows
from steelyard.numeric import nll

getcontext().prec = 60
D = Decimal
Vector = list[Decimal]
Formula = Callable[[Vector, int], Decimal]
few = settings(max_examples=60)  # decimals are slow
HALF_PI = D("1.57079632679489661923132169163975144209858469968755291")


@pytest.fixture(params=["plain", "fused"], autouse=True, scope="module")
def path(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nll, "FUSE_FROM", 0 if request.param == "fused" else 1 << 60)
        yield request.param


def seen(counts: list[int]) -> Vector:
    return [D(max(n, 1)) for n in counts]


def priors(counts: list[int]) -> Vector:
    n = seen(counts)
    return [c / sum(n) for c in n]


def softmax(z: Vector) -> Vector:
    powers = [value.exp() for value in z]
    total = sum(powers, D(0))
    return [power / total for power in powers]


def psi(u: Decimal, q: Decimal) -> Decimal:
    return -u.ln() if q == 0 else (1 - u**q) / q


def sine(x: Decimal) -> Decimal:
    """By its series."""
    term, total, k = x, x, 1
    while abs(term) > D(10) ** -55:
        term *= -x * x / ((k + 1) * (k + 2))
        total, k = total + term, k + 2
    return total


def cross_entropy(z: Vector, y: int) -> Decimal:
    return -softmax(z)[y].ln()


def logit_adjusted(counts, tau):
    def formula(z: Vector, y: int) -> Decimal:
        shifted = [value + D(tau) * pi.ln() for value, pi in zip(z, priors(counts), strict=True)]
        return -softmax(shifted)[y].ln()

    return formula


def balanced_softmax(counts):
    def formula(z: Vector, y: int) -> Decimal:
        n = seen(counts)
        return -(n[y] * z[y].exp() / sum(n_j * z_j.exp() for n_j, z_j in zip(n, z, strict=True))).ln()

    return formula


def generalized_logit_adjusted(counts, q, tau):
    def formula(z: Vector, y: int) -> Decimal:
        strength = 1 / (1 - D(q)) if tau is None else D(tau)
        shifted = [value + strength * pi.ln() for value, pi in zip(z, priors(counts), strict=True)]
        return psi(softmax(shifted)[y], D(q))

    return formula


def generalized_class_aware(counts, q, margins, weight, normalise):
    rho = [D(m) for m in margins] if margins else [D(1)] * len(counts)
    pi, n = priors(counts), seen(counts)
    w = [r / p if weight == "rho_over_prior" else 1 / p for r, p in zip(rho, pi, strict=True)]
    if normalise == "classes":
        w = [value * len(w) / sum(w) for value in w]
    if normalise == "rows":
        mean = sum(c * value for c, value in zip(n, w, strict=True)) / sum(n)
        w = [value / mean for value in w]
    return lambda z, y: w[y] * psi(softmax([value / rho[y] for value in z])[y], D(q))


def arb(counts):
    def formula(z: Vector, y: int) -> Decimal:
        k = [D(c) for c in counts]
        return -(z[y].exp() / sum(k_j / k[y] * z_j.exp() for k_j, z_j in zip(k, z, strict=True))).ln()

    return formula


def class_smoothing(counts, minimum, maximum, direction):
    n = seen(counts)
    low, high = min(n), max(n)

    def smoothing(size: Decimal) -> Decimal:
        if low == high:
            return D(minimum)
        if direction == "head":
            return D(minimum) + (D(maximum) - D(minimum)) * sine(HALF_PI * (size - low) / (high - low))
        return D(minimum) + (D(maximum) - D(minimum)) * (high.ln() - size.ln()) / (high.ln() - low.ln())

    def formula(z: Vector, y: int) -> Decimal:
        e = smoothing(n[y])
        terms = [-p.ln() for p in softmax(z)]
        return (1 - e) * terms[y] + e * sum(terms) / len(terms)

    return formula


def ldam(counts, max_margin, scale):
    raw = [1 / c.sqrt().sqrt() for c in seen(counts)]
    margins = [value * D(max_margin) / max(raw) for value in raw]

    def formula(z: Vector, y: int) -> Decimal:
        lowered = [D(scale) * (value - margins[y] if j == y else value) for j, value in enumerate(z)]
        return -softmax(lowered)[y].ln()

    return formula


def focal(gamma):
    def formula(z: Vector, y: int) -> Decimal:
        p = softmax(z)[y]
        return -((1 - p) ** D(gamma)) * p.ln()

    return formula


def gradient(formula: Formula, z: Vector, y: int) -> Vector:
    """Central differences; in 60 digits a step of 1e-18 leaves an error near 1e-36."""
    step = D("1e-18")
    slopes = []
    for j in range(len(z)):
        up, down = ([value + sign * step if k == j else value for k, value in enumerate(z)] for sign in (1, -1))
        slopes.append((formula(up, y) - formula(down, y)) / (2 * step))
    return slopes


def check(loss: losses.Loss, formula: Formula, logits: torch.Tensor, target: torch.Tensor, **context) -> None:
    """Values and gradients, row by row, in float64 and float32; then the three reductions."""
    exact = [[D(value) for value in row] for row in logits.double().tolist()]
    labels = target.tolist()
    values = torch.tensor([float(formula(z, y)) for z, y in zip(exact, labels, strict=True)], dtype=torch.float64)
    slopes = [[float(g) for g in gradient(formula, z, y)] for z, y in zip(exact, labels, strict=True)]
    slopes = torch.tensor(slopes, dtype=torch.float64)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 2e-4)):
        leaf = logits.to(dtype, copy=True).requires_grad_()
        found = loss.rows(leaf, target, **context)
        found.sum().backward()
        scale = max(1.0, float(values.abs().max()), float(slopes.abs().max()))
        torch.testing.assert_close(found.double(), values, rtol=tolerance, atol=tolerance * scale)
        torch.testing.assert_close(leaf.grad.double(), slopes, rtol=max(tolerance, 1e-6), atol=max(tolerance, 1e-7) * scale)
    for reduction, expected in {"mean": values.mean(), "sum": values.sum(), "none": values}.items():
        loss.reduction = reduction
        torch.testing.assert_close(loss(logits, target, **context), expected, rtol=1e-10, atol=1e-10 * scale)


@st.composite
def problems(draw, spread=3.0):
    """Counts with zeros and ones among them, logits, labels."""
    classes = draw(st.integers(1, 5))
    counts = draw(st.lists(st.sampled_from([0, 1, 1, 2, 10, 77, 5000]), min_size=classes, max_size=classes).filter(any))
    rows = draw(st.integers(1, 4))
    scores = draw(
        st.lists(
            st.lists(st.floats(-spread, spread, width=32), min_size=classes, max_size=classes), min_size=rows, max_size=rows
        )
    )
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows))
    return counts, torch.tensor(scores, dtype=torch.float64), torch.tensor(labels)


quotients = st.sampled_from([0.0, 0.1, 0.5, 0.7, 0.95])


@few
@given(problems(spread=30.0))
def test_cross_entropy(problem):
    _, logits, target = problem
    check(losses.CrossEntropy(), cross_entropy, logits, target)


@few
@given(problems(), st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.5]))
def test_logit_adjusted(problem, tau):
    counts, logits, target = problem
    check(losses.LogitAdjusted(counts, tau=tau), logit_adjusted(counts, tau), logits, target)


@few
@given(problems())
def test_balanced_softmax(problem):
    counts, logits, target = problem
    check(losses.BalancedSoftmax(counts), balanced_softmax(counts), logits, target)


@few
@given(problems(), quotients, st.sampled_from([None, 0.0, 1.0, 1.5]))
def test_generalized_logit_adjusted(problem, q, tau):
    counts, logits, target = problem
    formula = generalized_logit_adjusted(counts, q, tau)
    check(losses.GeneralizedLogitAdjusted(counts, q=q, tau=tau), formula, logits, target)


@few
@given(
    problems(),
    quotients,
    st.one_of(st.none(), st.lists(st.floats(0.25, 4), min_size=5, max_size=5)),
    st.sampled_from(["rho_over_prior", "inverse_prior"]),
    st.sampled_from(["none", "rows", "classes"]),
)
def test_generalized_class_aware(problem, q, margins, weight, normalise):
    counts, logits, target = problem
    margins = margins and margins[: len(counts)]
    loss = losses.GeneralizedClassAware(counts, q=q, margins=margins, weight=weight, normalise=normalise)
    check(loss, generalized_class_aware(counts, q, margins, weight, normalise), logits, target)


@few
@given(problems())
def test_arb_with_given_counts(problem):
    counts, logits, target = problem
    check(losses.ARB(counts), arb([max(n, 1) for n in counts]), logits, target)


@few
@given(problems())
def test_arb_with_the_counts_of_the_batch(problem):
    counts, logits, target = problem
    here = [target.tolist().count(c) for c in range(len(counts))]
    check(losses.ARB(), arb(here), logits, target)
    check(losses.ARB(), arb(here), logits, target, batch_counts=torch.tensor(here))
    check(losses.ARB(), arb([n + 3 for n in here]), logits, target, batch_counts=torch.tensor(here) + 3)


@few
@given(problems(), st.sampled_from([(0.0, 0.0), (0.0, 0.3), (0.1, 0.4), (0.2, 0.2)]), st.sampled_from(["head", "tail"]))
def test_class_smoothing(problem, ends, direction):
    counts, logits, target = problem
    loss = losses.ClassSmoothing(counts, *ends, direction)
    check(loss, class_smoothing(counts, *ends, direction), logits, target)


@few
@given(problems(spread=1.0), st.sampled_from([0.0, 0.5, 2.0]), st.sampled_from([1.0, 10.0, 30.0]))
def test_ldam(problem, max_margin, scale):
    counts, logits, target = problem
    check(losses.LDAM(counts, max_margin=max_margin, scale=scale), ldam(counts, max_margin, scale), logits, target)


@few
@given(problems(), st.sampled_from([0.5, 1.0, 2.0, 5.0]))
def test_focal(problem, gamma):
    _, logits, target = problem
    if logits.shape[1] == 1:
        logits, target = logits.expand(-1, 2).clone(), target  # of a single class p is 1, where decimals have no power
    check(losses.Focal(gamma), focal(gamma), logits, target)


@pytest.mark.parametrize("size", [1e2, 1e3, 1e4])
def test_extreme_scores_have_the_values_of_the_formula(size):
    counts, stream = [900, 30, 1, 0], torch.Generator().manual_seed(0)
    logits = size * (2 * torch.rand(12, 4, generator=stream, dtype=torch.float64) - 1)
    target = torch.arange(12) % 4
    cases = [
        (losses.LogitAdjusted(counts), logit_adjusted(counts, 1.0)),
        (losses.GeneralizedLogitAdjusted(counts, q=0.5), generalized_logit_adjusted(counts, 0.5, None)),
        (losses.GeneralizedClassAware(counts, q=0.2), generalized_class_aware(counts, 0.2, None, "rho_over_prior", "none")),
        (losses.ClassSmoothing(counts, 0.1, 0.4, "head"), class_smoothing(counts, 0.1, 0.4, "head")),
        (losses.LDAM(counts), ldam(counts, 0.5, 30.0)),
        (losses.ARB(), arb([3, 3, 3, 3])),
    ]
    for loss, formula in cases:
        with localcontext() as context:
            context.Emax, context.Emin = 10**8, -(10**8)
            expected = [float(formula([D(v) for v in z], y)) for z, y in zip(logits.tolist(), target.tolist(), strict=True)]
        torch.testing.assert_close(
            loss.rows(logits, target), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-9
        )


@few
@given(problems(), st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(0, 2**31))
def test_a_mixed_example_is_two_rows_with_shares(problem, fractions, seed):
    """`lam * L(z, a) + (1 - lam) * L(z, b)`, averaged over inputs, for any loss."""
    counts, logits, first = problem
    inputs = len(first)
    second = first[torch.randperm(inputs, generator=torch.Generator().manual_seed(seed))]
    lam = torch.tensor(fractions[:inputs], dtype=torch.float64)
    owner = torch.arange(inputs).repeat(2)
    rows = Rows(logits[owner], torch.cat([first, second]), share=torch.cat([lam, 1 - lam]))
    for loss, formula in (
        (losses.CrossEntropy(), cross_entropy),
        (losses.BalancedSoftmax(counts), balanced_softmax(counts)),
        (losses.LDAM(counts, scale=5.0), ldam(counts, 0.5, 5.0)),
        (losses.ClassSmoothing(counts, 0.1, 0.4, "tail"), class_smoothing(counts, 0.1, 0.4, "tail")),
    ):
        total = D(0)
        for z, a, b, share in zip(logits.tolist(), first.tolist(), second.tolist(), lam.tolist(), strict=True):
            exact = [D(value) for value in z]
            total += D(share) * formula(exact, a) + (1 - D(share)) * formula(exact, b)
        found = Objective(loss)(rows, Clock()).loss.item()
        assert math.isclose(found, float(total / inputs), rel_tol=1e-10, abs_tol=1e-10)
