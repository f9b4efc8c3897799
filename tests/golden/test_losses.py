"""Known numbers: what the papers' settings give on the long-tailed CIFARs, and small cases that can be worked out by hand."""

import math

import pytest
import torch

from steelyard import losses, weightings
from steelyard.numeric.normalise import over_rows

CIFAR10 = {
    10: [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500],
    100: [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50],
}


def to(digits, values):
    return [round(value, digits) for value in torch.as_tensor(values).double().tolist()]


def test_margins_of_ldam():
    expected = [0.158, 0.180, 0.204, 0.232, 0.264, 0.300, 0.341, 0.387, 0.440, 0.500]
    assert to(3, losses.LDAM(CIFAR10[100]).margins) == expected


@pytest.mark.parametrize(
    ("factor", "beta", "expected"),
    [
        (100, 0.9999, [0.051, 0.077, 0.121, 0.195, 0.319, 0.525, 0.868, 1.443, 2.409, 3.993]),
        (100, 0.999, [0.181, 0.189, 0.216, 0.273, 0.378, 0.561, 0.869, 1.386, 2.258, 3.688]),
        (10, 0.9999, [0.292, 0.358, 0.444, 0.556, 0.700, 0.886, 1.127, 1.438, 1.841, 2.359]),
    ],
)
def test_weights_by_effective_number(factor, beta, expected):
    assert to(3, weightings.EffectiveNumber(CIFAR10[factor], beta=beta).class_weights) == expected


def test_weights_by_inverse_frequency_in_both_normalisations():
    weights = weightings.InverseFrequency(CIFAR10[100]).class_weights
    assert to(2, weights[[0, -1]]) == [0.04, 4.02]
    over = over_rows(weights.double(), torch.tensor(CIFAR10[100]))
    assert to(3, over[[0, -1]]) == [0.248, 24.812]


def test_square_root_weights():
    # 1, 1/2, 1/4 with mean 7/12
    assert to(6, weightings.InverseFrequency([1, 4, 16], power=0.5).class_weights) == [1.714286, 0.857143, 0.428571]


def value(loss, logits, y):
    return loss(torch.tensor([logits], dtype=torch.float64), torch.tensor([y])).item()


def test_undecided_rows_cost_what_the_prior_says():
    for loss in (losses.LogitAdjusted([90, 10]), losses.BalancedSoftmax([90, 10]), losses.ARB([90, 10])):
        assert value(loss, [0.0, 0.0], 0) == pytest.approx(-math.log(0.9))
        assert value(loss, [0.0, 0.0], 1) == pytest.approx(-math.log(0.1))


def test_twice_the_adjustment():
    # odds 81 : 1
    assert value(losses.LogitAdjusted([90, 10], tau=2.0), [0.0, 0.0], 1) == pytest.approx(math.log(82))


def test_a_bounded_loss():
    # tau = 2 for q = 1/2, so u = 1/82
    assert value(losses.GeneralizedLogitAdjusted([90, 10], q=0.5), [0.0, 0.0], 1) == pytest.approx(2 * (1 - 82**-0.5))


def test_weights_and_margins_of_the_class_aware_loss():
    # softmax((log 9, 0) / 2) = (3/4, 1/4), weight 2 / 0.1
    loss = losses.GeneralizedClassAware([90, 10], margins=[1.0, 2.0])
    assert value(loss, [math.log(9), 0.0], 1) == pytest.approx(20 * math.log(4))
    loss = losses.GeneralizedClassAware([90, 10], margins=[1.0, 2.0], weight="inverse_prior")
    assert value(loss, [math.log(9), 0.0], 1) == pytest.approx(10 * math.log(4))


def test_attraction_and_repulsion_in_a_batch():
    # counts 2, 1, 0: the third class is not there, whatever its logit
    logits = torch.tensor([[0.0, 0.0, 9.0]] * 3, dtype=torch.float64)
    values = losses.ARB(reduction="none")(logits, torch.tensor([0, 0, 1]))
    torch.testing.assert_close(values.exp(), torch.tensor([1.5, 1.5, 3.0], dtype=torch.float64))


def test_margins_in_use():
    # 10 * (0.6 - 0.5) = 1 against 10 * 0.1 = 1: even odds
    assert value(losses.LDAM([1, 1], max_margin=0.5, scale=10.0), [0.6, 0.1], 0) == pytest.approx(math.log(2))


def test_smoothing_of_both_directions():
    assert to(6, losses.ClassSmoothing([101, 51, 1], 0.1, 0.4, "head").smoothing) == [0.4, 0.312132, 0.1]
    assert to(6, losses.ClassSmoothing([100, 10, 1], 0.1, 0.4, "tail").smoothing) == [0.1, 0.25, 0.4]
    # p = (3/4, 1/4), e = 0.2: 0.8 (-log 3/4) + 0.1 (-log 3/4 - log 1/4)
    loss = losses.ClassSmoothing([5, 5], 0.2, 0.2, "head")
    assert value(loss, [math.log(3), 0.0], 0) == pytest.approx(-0.9 * math.log(0.75) - 0.1 * math.log(0.25))


def test_focal_factor():
    # p = 1/4
    assert value(losses.Focal(2.0), [0.0, math.log(3)], 0) == pytest.approx(0.75**2 * math.log(4))
