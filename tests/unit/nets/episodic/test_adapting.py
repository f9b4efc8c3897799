"""MAML and its kin: known gradients, limits, and what BatchNorm sees."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

from steelyard.core.errors import ArgumentError
from steelyard.nets.episodic import BTAML, MAML, Episode, ProtoMAML, ProtoNet, Rebalance
from steelyard.nets.episodic.adapting import batch_statistics
from steelyard.nets.episodic.btaml import FIRST_RATE, PRIOR, changed, divergence

D, WAY, RATE = 3, 2, 0.3
QUERY = torch.randn(4, D, generator=torch.Generator().manual_seed(5))
GIVEN = Episode(torch.randn(5, D, generator=torch.Generator().manual_seed(4)), torch.tensor([0, 0, 0, 1, 1]), QUERY, WAY)


class Linear(MAML):
    def support_loss(self, logits: Tensor, episode: Episode) -> Tensor:
        return (logits * torch.arange(10.0).view(5, 2)).sum() / 20


class Quadratic(MAML):
    def support_loss(self, logits: Tensor, episode: Episode) -> Tensor:
        return logits.square().sum() / 10


def outer_gradient(kind: type[MAML], second_order: bool, steps: int = 1) -> Tensor:
    torch.manual_seed(0)
    learner = kind(nn.Identity(), size=D, way=WAY, steps=(steps, RATE), second_order=second_order).double()
    given = Episode(GIVEN.support.double(), GIVEN.target, QUERY.double(), WAY)
    (learner(given).logits * torch.arange(8.0).view(4, 2)).sum().backward()
    return torch.cat([learner.head.weight.grad.flatten(), learner.head.bias.grad])


def test_first_and_second_order_agree_where_the_inner_loss_is_linear():
    assert torch.allclose(outer_gradient(Linear, True, 3), outer_gradient(Linear, False, 3))


def test_they_differ_by_the_known_factor_where_it_is_quadratic():
    """Each step multiplies by I - a H."""

    def inner(flat: Tensor) -> Tensor:
        logits = GIVEN.support.double() @ flat[: D * WAY].view(WAY, D).T + flat[D * WAY :]
        return logits.square().sum() / 10

    numbers = D * WAY + WAY
    factor = torch.eye(numbers).double() - RATE * hessian(inner, torch.zeros(numbers).double())
    first = outer_gradient(Quadratic, False)
    assert torch.allclose(outer_gradient(Quadratic, True), factor @ first)
    assert torch.allclose(outer_gradient(Quadratic, True, 2), factor @ factor @ outer_gradient(Quadratic, False, 2))


def test_without_steps_or_rate_it_is_the_plain_network():
    for steps in ((0, 0.1), (4, 0.0)):
        learner = MAML(nn.Identity(), size=D, way=WAY, steps=steps).eval()
        assert torch.allclose(learner(GIVEN).logits, learner.head(QUERY), atol=1e-6)


def test_a_step_is_gradient_descent_on_the_support():
    learner = MAML(nn.Linear(D, D), size=D, way=WAY, steps=(2, RATE)).eval()
    own = copy.deepcopy(nn.Sequential(learner.backbone, learner.head))
    optimizer = torch.optim.SGD(own.parameters(), lr=RATE)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(own(GIVEN.support), GIVEN.target).backward()
        optimizer.step()
    assert torch.allclose(learner(GIVEN).logits, own(QUERY), atol=1e-5)


def test_protomaml_without_steps_is_protonet_on_prototypes_of_length_one():
    learner = ProtoMAML(nn.Identity(), size=D, way=WAY, steps=(0, 0.1)).eval()
    means = torch.stack([GIVEN.support[GIVEN.target == label].mean(0) for label in range(WAY)])
    unit = F.normalize(means, dim=1)
    expected = torch.softmax(-torch.cdist(QUERY, unit).square(), 1)
    assert torch.allclose(torch.softmax(learner(GIVEN).logits, 1), expected, atol=6e-6)
    learner.normalise = False
    plain = torch.softmax(ProtoNet(nn.Identity())(GIVEN).logits, 1)
    assert torch.allclose(torch.softmax(learner(GIVEN).logits, 1), plain, atol=6e-6)


def test_the_first_classifier_of_protomaml_may_be_cut_off_the_graph():
    grads = {}
    for through in (True, False):
        torch.manual_seed(0)
        learner = ProtoMAML(nn.Linear(D, D), size=D, way=WAY, steps=(0, 0.1))
        learner.through_start = through
        learner(GIVEN).logits.square().sum().backward()
        grads[through] = learner.backbone.weight.grad
    assert not torch.allclose(grads[True], grads[False])


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(D, D), nn.BatchNorm1d(D)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.norm(self.linear(inputs))


@pytest.mark.parametrize("kind", [MAML, ProtoMAML, BTAML])
def test_batch_statistics_are_transductive_and_running_ones_are_not(kind):
    for bn in ("batch", "running"):
        torch.manual_seed(0)
        learner = kind(Normed(), size=D, way=WAY, bn=bn).eval()
        before = copy.deepcopy(learner.state_dict())
        alone = learner(GIVEN).logits[:2]
        other = Episode(GIVEN.support, GIVEN.target, torch.cat([QUERY[:2], QUERY[2:] + 3]), WAY)
        assert torch.allclose(learner(other).logits[:2], alone, atol=1e-5) == (bn == "running")
        assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
        assert not learner.backbone.norm.training


def test_running_statistics_move_in_training_only_where_they_are_used():
    for bn in ("batch", "running"):
        learner = MAML(Normed(), size=D, way=WAY, bn=bn)
        learner(GIVEN)
        assert bool((learner.backbone.norm.running_mean != 0).any()) == (bn == "running")


def test_a_context_restores_the_modes():
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()).eval()
    with batch_statistics(net):
        assert [module.training for module in net] == [True, False]
    assert [module.training for module in net] == [False, False]


def test_a_learner_can_be_evaluated_at_other_weights_and_copied():
    learner = MAML(nn.Linear(D, D), size=D, way=WAY).eval()
    other = MAML(nn.Linear(D, D), size=D, way=WAY).eval()
    expected = other(GIVEN).logits
    assert torch.allclose(functional_call(learner, dict(other.named_parameters()), (GIVEN,)).logits, expected, atol=1e-6)
    copied = copy.deepcopy(learner)
    copied.load_state_dict(other.state_dict())
    assert torch.allclose(copied(GIVEN).logits, expected, atol=1e-6)
    assert not torch.allclose(learner(GIVEN).logits, expected)


def test_class_weights_act_in_the_inner_loop():
    torch.manual_seed(0)
    plain = MAML(nn.Identity(), size=D, way=WAY, steps=(3, 0.5)).eval()
    for kind in ("weighted", "cb", "focal"):
        other = copy.deepcopy(plain)
        other.rebalance = Rebalance(kind)
        assert not torch.allclose(other(GIVEN).logits, plain(GIVEN).logits, atol=1e-4)


def test_z_of_btaml_changes_the_first_weights():
    torch.manual_seed(0)
    learner = BTAML(nn.Identity(), size=D, way=WAY, steps=(0, 0), draws=1).eval()
    before = learner(GIVEN).logits
    with torch.no_grad():
        learner.encoder.z.bias[: learner.encoder.z.out_features // 2] += 1.0  # the means
    assert not torch.allclose(learner(GIVEN).logits, before, atol=0.1)
    params = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    found = changed(params, torch.tensor([0.5, 0.0, 1.0, 2.0]))
    assert found["weight"].tolist() == [[1.5] * 3, [1.0] * 3]
    assert found["bias"].tolist() == [1.0, 2.0]


def test_btaml_learns_every_part_and_starts_from_published_rates():
    learner = BTAML(nn.Linear(D, D), size=D, way=WAY)
    assert all(bool((rate == FIRST_RATE).all()) for rate in learner.rates)
    scored = learner(GIVEN)
    assert scored.penalty is not None
    assert scored.penalty.item() > 0
    (F.cross_entropy(scored.logits, torch.tensor([0, 0, 1, 1])) + scored.penalty).backward()
    for name, parameter in learner.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert learner.eval()(GIVEN).penalty is None


def test_the_divergence_is_that_of_torch():
    posterior = {name: (torch.randn(4), torch.rand(4) + 0.1) for name in PRIOR}
    expected = sum(
        torch.distributions.kl_divergence(
            torch.distributions.Normal(*posterior[name]), torch.distributions.Normal(torch.zeros(4), PRIOR[name])
        ).sum()
        for name in PRIOR
    )
    assert torch.allclose(divergence(posterior), expected)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MAML(nn.Identity(), size=D, way=WAY, steps=(-1, 0.1)), "inner_steps"),
        (lambda: MAML(nn.Identity(), size=D, way=WAY, steps=(1, float("nan"))), "inner_lr"),
        (lambda: MAML(nn.Identity(), size=D, way=WAY, bn="layer"), "'batch' or 'running'"),
        (lambda: BTAML(nn.Identity(), size=D, way=WAY, draws=0), "draws"),
    ],
)
def test_values_are_checked(make, said):
    with pytest.raises(ArgumentError, match=said):
        make()
