"""What each loss decides on a population that is known exactly, and how fast a small regret makes a good decision.

For one point x with class probabilities eta, the risk of scores z is `sum_y eta_y L(z, y)`. Balanced accuracy is best where
`argmax z = argmax eta_y / pi_y`.
"""

import pytest
import torch
from torch import Tensor

from steelyard import losses, weightings
from steelyard.core.counts import prior
from steelyard.core.loss import Loss

POPULATIONS = 30


def populations(classes: int, seed: int) -> list[tuple[list[int], Tensor]]:
    """Class counts, and class probabilities at a point; none with a tie that rounding could decide."""
    stream = torch.Generator().manual_seed(seed)
    found = []
    while len(found) < POPULATIONS:
        counts = torch.randint(1, 60, (classes,), generator=stream)
        eta = torch.rand(classes, generator=stream, dtype=torch.float64) ** 2 + 0.01
        eta = eta / eta.sum()
        best = (eta / prior(counts)).sort(descending=True).values
        if best[0] > 1.05 * best[1]:
            found.append((counts.tolist(), eta))
    return found


def minimiser(loss: Loss, weights: Tensor, start: Tensor) -> tuple[float, Tensor]:
    """The risk `sum_y weights_y L(z, y)` at a lowest point, and the scores z there."""
    classes = len(weights)
    z = start.clone().requires_grad_()
    search = torch.optim.LBFGS([z], max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe")

    def risk() -> Tensor:
        search.zero_grad()
        value = (weights * loss.rows(z.expand(classes, classes), torch.arange(classes))).sum()
        value.backward()
        return value

    search.step(risk)
    return float(risk().detach()), z.detach()


def decides(loss: Loss, eta: Tensor, weights: Tensor | None = None) -> Tensor:
    weights = eta if weights is None else eta * weights
    starts = [eta.log()]
    if isinstance(loss, losses.GeneralizedLogitAdjusted | losses.GeneralizedClassAware) and loss.q > 0:
        starts += [3 * eta.log(), torch.zeros_like(eta)]  # bounded losses are not convex
    return min((minimiser(loss, weights, start) for start in starts), key=lambda found: found[0])[1]


def agreement(make, rule, classes: int = 4, seed: int = 0) -> int:
    """On how many populations the loss decides as the rule does."""
    hits = 0
    for counts, eta in populations(classes, seed):
        hits += int(decides(make(counts), eta).argmax() == rule(eta, prior(counts)).argmax())
    return hits


def balanced(eta: Tensor, pi: Tensor) -> Tensor:
    return eta / pi


def margins(classes: int) -> list[float]:
    return torch.linspace(0.3, 3.0, classes, dtype=torch.float64).tolist()


CONSISTENT = {
    "la": losses.LogitAdjusted,
    "balanced softmax": losses.BalancedSoftmax,
    "arb": losses.ARB,
    "gca": losses.GeneralizedClassAware,
    "gca inverse prior": lambda counts: losses.GeneralizedClassAware(counts, weight="inverse_prior"),
    "gca any margins": lambda counts: losses.GeneralizedClassAware(counts, margins=margins(len(counts))),
    "gca margins the other way": lambda counts: losses.GeneralizedClassAware(counts, margins=margins(len(counts))[::-1]),
    "gca bounded, no margins": lambda counts: losses.GeneralizedClassAware(counts, q=0.5),
    "gca bounded, equal margins": lambda counts: losses.GeneralizedClassAware(counts, q=0.5, margins=[2.0] * len(counts)),
}


@pytest.mark.parametrize("make", CONSISTENT.values(), ids=CONSISTENT)
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_consistent_for_balanced_accuracy(make, classes):
    assert agreement(make, balanced, classes) == POPULATIONS


@pytest.mark.parametrize("q", [0.0, 0.1, 0.3, 0.5, 0.7])
def test_a_bounded_shift_is_consistent_for_one_strength(q):
    assert agreement(lambda counts: losses.GeneralizedLogitAdjusted(counts, q=q), balanced) == POPULATIONS


@pytest.mark.parametrize("q", [0.5, 0.7])
def test_a_bounded_shift_of_strength_one_is_not(q):
    def make(counts):
        return losses.GeneralizedLogitAdjusted(counts, q=q, tau=1.0)

    assert agreement(make, balanced) < POPULATIONS
    assert agreement(make, lambda eta, pi: eta / pi ** (1 - q)) == POPULATIONS


def test_unequal_margins_with_the_weight_of_the_prior_alone_decide_otherwise():
    def make(counts):
        return losses.GeneralizedClassAware(counts, margins=margins(len(counts)), weight="inverse_prior")

    assert agreement(make, balanced) < POPULATIONS
    rho = torch.tensor(margins(4), dtype=torch.float64)
    assert agreement(make, lambda eta, pi: eta / (pi * rho)) == POPULATIONS


def test_bounded_with_unequal_margins_is_not_consistent():
    def make(counts):
        return losses.GeneralizedClassAware(counts, q=0.7, margins=margins(len(counts)))

    assert agreement(make, balanced) < POPULATIONS


def test_what_is_not_corrected_decides_for_accuracy():
    for loss in (losses.CrossEntropy(), losses.Focal(2.0), losses.GeneralizedLogitAdjusted([1, 1, 1, 1], q=0.5)):
        assert agreement(lambda counts, loss=loss: loss, lambda eta, pi: eta) == POPULATIONS
    assert agreement(lambda counts: losses.CrossEntropy(), balanced) < POPULATIONS


def test_weights_by_inverse_frequency_are_consistent():
    for counts, eta in populations(4, 1):
        weights = weightings.InverseFrequency(counts).class_weights.double()
        assert decides(losses.CrossEntropy(), eta, weights).argmax() == (eta / prior(counts)).argmax()


@pytest.mark.parametrize("nu", [0.25, 0.5, 0.75])
def test_weights_and_a_shift_that_share_the_correction_are_consistent(nu):
    for counts, eta in populations(4, 4):
        weights = weightings.InverseFrequency(counts, power=nu).class_weights.double()
        found = decides(losses.LogitAdjusted(counts, tau=1 - nu), eta, weights)
        assert found.argmax() == (eta / prior(counts)).argmax()


def test_adjusting_after_training_decides_as_adjusting_in_training():
    for counts, eta in populations(4, 2):
        after = decides(losses.CrossEntropy(), eta) - prior(counts).log()
        for q in (0.0, 0.5):
            within = decides(losses.GeneralizedLogitAdjusted(counts, q=q), eta)
            assert after.argmax() == within.argmax()
            difference = (1 - q) * (within - within[0]) - (after - after[0])
            assert float(difference.abs().max()) < 1e-3


def regrets(make, best_risk, draws: int = 400):
    """Pairs (balanced regret, surrogate regret) at random scores, with the smallest prior."""
    stream = torch.Generator().manual_seed(3)
    for counts, eta in populations(4, 3):
        pi, loss = prior(counts), make(counts)
        z = 3 * torch.randn(draws, 4, generator=stream, dtype=torch.float64)
        values = loss.rows(z.repeat_interleave(4, 0), torch.arange(4).repeat(draws)).view(draws, 4)
        surrogate = (values * eta).sum(1) - best_risk(eta, pi)
        gain = eta / pi
        yield gain.max() - gain[z.argmax(1)], surrogate, float(pi.min())


def test_regret_bound_of_weighted_cross_entropy():
    def best(eta, pi):
        w = eta / pi
        return -(w * (w / w.sum()).log()).sum()

    closest = 0.0
    for lost, surrogate, least in regrets(losses.GeneralizedClassAware, best):
        bound = (2 / least * surrogate).sqrt()
        assert bool((lost <= bound + 1e-9).all())
        closest = max(closest, float((lost / bound).max()))
    assert closest > 0.1  # the bound is of the right size


def test_regret_bound_of_logit_adjustment():
    def best(eta, pi):
        return -(eta * eta.log()).sum()

    closest = 0.0
    for lost, surrogate, least in regrets(losses.LogitAdjusted, best):
        bound = (2 * surrogate).sqrt() / least
        assert bool((lost <= bound + 1e-9).all())
        closest = max(closest, float((lost / bound).max()))
    assert closest > 0.1
