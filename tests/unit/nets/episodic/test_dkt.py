"""Gaussian-process regression against closed forms and torch's own normal distribution."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.nets.episodic import DKT, Episode, Rebalance

WAY = 3
DRAWN = torch.Generator().manual_seed(0)
GIVEN = Episode(
    torch.randn(7, 5, generator=DRAWN),
    torch.tensor([0, 1, 1, 2, 2, 2, 2]),
    torch.randn(6, 5, generator=DRAWN),
    WAY,
    answers=torch.tensor([0, 0, 1, 1, 2, 2]),
)


def learner(**settings) -> DKT:
    found = DKT(nn.Identity(), **settings)
    with torch.no_grad():
        found.log_scale.fill_(0.4)
        found.mean.fill_(-0.3)
    return found


def test_scores_are_the_posterior_mean():
    found = learner().eval()
    s, m = found.log_scale.double().exp(), found.mean.double()
    unit, asked = F.normalize(GIVEN.support.double(), dim=1), F.normalize(GIVEN.query.double(), dim=1)
    kernel = s * unit @ unit.T + 0.1 * torch.eye(7, dtype=torch.double)
    y = torch.where(F.one_hot(GIVEN.target, WAY).bool(), 1.0, -1.0).double()
    expected = m + s * asked @ unit.T @ torch.linalg.inv(kernel) @ (y - m)
    scored = found(GIVEN)
    assert torch.allclose(scored.logits, expected.float(), atol=1e-5)
    assert scored.penalty is None  # in evaluation nothing may depend on the answers


def test_training_minimises_the_marginal_likelihood_of_support_and_queries():
    found = learner()
    s, m = found.log_scale.double().exp(), found.mean.double()
    both = F.normalize(torch.cat([GIVEN.support, GIVEN.query]).double(), dim=1)
    normal = torch.distributions.MultivariateNormal(m.expand(13), s * both @ both.T + 0.1 * torch.eye(13, dtype=torch.double))
    assert GIVEN.answers is not None
    y = torch.where(F.one_hot(torch.cat([GIVEN.target, GIVEN.answers]), WAY).bool(), 1.0, -1.0).double()
    expected = -sum(normal.log_prob(y[:, k]) for k in range(WAY)) / (13 * WAY)
    penalty = found(GIVEN).penalty
    assert penalty is not None
    assert penalty.item() == pytest.approx(expected.item(), abs=1e-6)


def test_copies_make_the_kernel_singular_and_the_noise_mends_it():
    far = Episode(GIVEN.support * 1e3, GIVEN.target, GIVEN.query, WAY, answers=GIVEN.answers)
    found = DKT(nn.Identity(), Rebalance("ros"), size=5)
    scored = found(far)
    assert scored.penalty is not None
    scored.penalty.backward()
    assert torch.isfinite(scored.logits).all()
    assert found.log_scale.grad is not None
    assert torch.isfinite(found.log_scale.grad)


def test_the_noise_is_checked():
    with pytest.raises(ArgumentError, match="noise"):
        DKT(nn.Identity(), noise=0.0)
