"""Distribution-balanced loss."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.losses import DistributionBalanced


def by_hand(logits, target, counts, examples, alpha, beta, mu, scale, kappa, gamma):
    """The paper's formulas, number by number."""
    values = torch.zeros_like(logits)
    for i in range(len(logits)):
        total = sum(1 / counts[j] for j in range(len(counts)) if target[i, j] == 1)
        for k, n in enumerate(counts):
            weight = alpha + (1 / (1 + math.exp(-beta * ((1 / n) / total - mu))) if total else 1.0)
            p = n / examples
            z = float(logits[i, k]) + kappa * math.log(p / (1 - p))
            one = 1 / (1 + math.exp(-z))
            none = 1 / (1 + math.exp(scale * z))
            if target[i, k] == 1:
                values[i, k] = weight * (1 - one) ** gamma * -math.log(one)
            else:
                values[i, k] = weight * (1 - none) ** gamma * -math.log(none) / scale
    return values


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=5), st.floats(0, 1), st.floats(0, 20), st.floats(0, 1),
    st.floats(0.5, 5), st.floats(0, 0.5), st.sampled_from([0.0, 1.0, 2.0]), st.integers(0, 99),
)  # fmt: skip
def test_it_is_the_formula(counts, alpha, beta, mu, scale, kappa, gamma, seed):
    stream = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, len(counts), generator=stream, dtype=torch.float64)
    target = torch.randint(0, 2, (4, len(counts)), generator=stream)
    loss = DistributionBalanced(
        counts, 50, alpha=alpha, beta=beta, mu=mu, scale=scale, kappa=kappa, gamma=gamma, reduction="none"
    )
    wanted = by_hand(logits, target, counts, 50, alpha, beta, mu, scale, kappa, gamma)
    torch.testing.assert_close(loss(logits, target), wanted, rtol=1e-5, atol=1e-7)


def test_its_limit_is_binary_cross_entropy():
    logits, target = torch.randn(6, 3), torch.randint(0, 2, (6, 3))
    loss = DistributionBalanced([5, 2, 1], 9, alpha=0.5, beta=0.0, scale=1.0, kappa=0.0)
    torch.testing.assert_close(loss(logits, target), F.binary_cross_entropy_with_logits(logits, target.float()))


def test_the_rarest_label_of_a_set_weighs_most_and_an_empty_set_all_alike():
    weights = DistributionBalanced([100, 10, 1], 200).label_weights(torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 0, 0]]))
    assert bool((weights[0].diff() > 0).all())
    assert weights[1].tolist() == pytest.approx([1.1, 1.1, 1.1], abs=2e-3)  # of a frequent label alone, all are rare enough
    assert weights[2].tolist() == pytest.approx([1.1, 1.1, 1.1])


def test_its_gradient_is_right():
    logits = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    for gamma in (0.0, 2.0):
        loss = DistributionBalanced([5, 2, 1], 9, gamma=gamma, reduction="none").double()
        assert torch.autograd.gradcheck(lambda z, loss=loss: loss(z, target), logits)


def test_a_label_that_was_never_present_counts_as_once():
    loss = DistributionBalanced([5, 0], 9)
    assert bool(loss(torch.zeros(1, 2), torch.tensor([[0, 1]])).isfinite())


@pytest.mark.parametrize(
    ("arguments", "settings", "argument"),
    [
        (([5, -1], 9), {}, "label_counts"),
        (([5, 2], 5), {}, "examples"),
        (([5, 2], 9.5), {}, "examples"),
        (([5, 2], 9), {"scale": 0.0}, "scale"),
        (([5, 2], 9), {"alpha": -1.0}, "alpha"),
        (([5, 2], 9), {"beta": -1.0}, "beta"),
        (([5, 2], 9), {"kappa": float("inf")}, "kappa"),
    ],
)
def test_settings_out_of_range_are_named(arguments, settings, argument):
    with pytest.raises(ArgumentError, match=f"`{argument}`"):
        DistributionBalanced(*arguments, **settings)


def test_logits_of_another_width_are_refused():
    with pytest.raises(ArgumentError, match=r"\[N, 2\]"):
        DistributionBalanced([5, 2], 9)(torch.zeros(1, 3), torch.zeros(1, 3))
