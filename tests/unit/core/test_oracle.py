from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from tiny import Blobs, network
from torch import nn

from steelyard.core.head import Head, Tap, find_head
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Clock, Evidence, Rows
from steelyard.core.weighting import ClassTable, Uniform, Weighting


def batch_of(n: int = 12, seed: int = 0) -> Batch:
    stream = torch.Generator().manual_seed(seed)
    return Batch(torch.randn(n, 4, generator=stream), torch.arange(n) % 3, torch.arange(n))


def oracle_of(model: nn.Module, objective: Objective | None = None, precision: str = "float32") -> Oracle:
    return Oracle(model, Blobs().forward, objective or Objective(), precision)


class Table(ClassTable):
    """Weights 1 : 2 : 6."""

    def __init__(self) -> None:
        super().__init__(torch.tensor([1.0, 2.0, 6.0]))


def test_the_objective_is_the_weighted_mean_over_shares() -> None:
    batch = batch_of().replace(share=torch.rand(12))
    model = network().eval()
    evaluation = oracle_of(model, Objective(weighting=Table()))(batch)
    losses = F.cross_entropy(model(batch.inputs), batch.target, reduction="none")
    weights = torch.tensor([1 / 3, 2 / 3, 2.0])[batch.target]
    torch.testing.assert_close(evaluation.loss, (batch.share * weights * losses).sum() / batch.share.sum())
    part = batch.target == 2
    rest = evaluation.restricted(part) + evaluation.restricted(~part)
    torch.testing.assert_close(rest, evaluation.loss)


def test_a_mixed_row_is_two_rows_of_one_input() -> None:
    """Equal to cross-entropy with soft labels."""
    model, lam = network().eval(), 0.3
    inputs, first, second = torch.randn(5, 4), torch.arange(5) % 3, (torch.arange(5) + 1) % 3
    share = torch.cat([torch.full((5,), lam), torch.full((5,), 1 - lam)])
    owner = torch.cat([torch.arange(5)] * 2)
    mixed = Batch(inputs, torch.cat([first, second]), owner, owner=owner, share=share)
    soft = lam * F.one_hot(first, 3) + (1 - lam) * F.one_hot(second, 3)
    oracle = oracle_of(model)
    evaluation = oracle(mixed)
    torch.testing.assert_close(evaluation.loss, F.cross_entropy(model(inputs), soft.float()))
    assert evaluation.rows.features is not None
    assert evaluation.rows.features.shape == (10, 8)
    assert torch.equal(evaluation.rows.features[:5], evaluation.rows.features[5:])


def test_a_row_with_share_zero_is_as_if_it_were_not_there() -> None:
    """Ignored points of a cloud, padded rows."""
    model = nn.Linear(4, 3)
    inputs, target = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    oracle = oracle_of(model)
    share = torch.tensor([1.0, 1, 1, 1, 0, 0])
    gradients = []
    for batch in (
        Batch(inputs, target, torch.arange(6), share=share),
        Batch(inputs[:4], target[:4], torch.arange(4)),
    ):
        model.zero_grad()
        oracle(batch).loss.backward()
        gradients.append(model.weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_at_and_probe_leave_the_model_as_it_is() -> None:
    model = network().train()
    before = copy.deepcopy(model.state_dict())
    oracle = oracle_of(model)
    moved = {name: value + 1 for name, value in oracle.params().items()}
    there = oracle(batch_of(), at=moved)
    oracle(batch_of(), probe=True)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for value in twin.parameters():
            value += 1
    torch.manual_seed(0)
    expected = oracle_of(twin)(batch_of()).loss
    torch.manual_seed(0)
    torch.testing.assert_close(oracle(batch_of(), at=moved).loss, expected)
    assert there.loss.requires_grad


def test_a_probe_s_gradient_reaches_the_model() -> None:
    model = network().eval()
    oracle = oracle_of(model)
    oracle(batch_of(), probe=True).loss.backward()
    probed = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    oracle(batch_of()).loss.backward()
    assert all(torch.equal(mine, parameter.grad) for mine, parameter in zip(probed, model.parameters(), strict=True))


def test_weights_can_be_given_and_one_means_unweighted() -> None:
    oracle = oracle_of(network().eval(), Objective(weighting=Table()))
    plain = oracle_of(oracle.model)
    torch.testing.assert_close(oracle(batch_of(), weights=1.0).loss, plain(batch_of()).loss)
    given = torch.rand(12)
    evaluation = oracle(batch_of(), weights=given)
    torch.testing.assert_close(evaluation.loss, (given * evaluation.losses).sum() / 12)


def test_weights_never_carry_a_gradient_to_the_model() -> None:
    class FromLogits(Weighting):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, evidence: Evidence) -> torch.Tensor:
            assert evidence.logits is not None
            assert not evidence.logits.requires_grad
            return self.scale * evidence.logits.softmax(1).amax(1)

    weighting = FromLogits()
    oracle = oracle_of(network().eval(), Objective(weighting=weighting))
    assert not oracle(batch_of()).weights.requires_grad
    through = oracle(batch_of(), through_weights=True)
    (gradient,) = torch.autograd.grad(through.loss, weighting.scale)
    torch.testing.assert_close(gradient, through.loss)


def test_uniform_is_the_identity() -> None:
    class SpelledOut(Uniform):
        """The same, but asked for its weights."""

    model = network().eval()
    one, other = oracle_of(model, Objective(weighting=Uniform())), oracle_of(model, Objective(weighting=SpelledOut()))
    assert torch.equal(one(batch_of()).loss, other(batch_of()).loss)


def test_bfloat16_runs_the_model_in_half_and_the_loss_in_full() -> None:
    evaluation = oracle_of(network().eval(), precision="bfloat16")(batch_of())
    assert evaluation.rows.logits.dtype is torch.bfloat16
    assert evaluation.losses.dtype is torch.float32
    assert evaluation.evidence().logits.dtype is torch.float32


def test_losses_are_told_what_they_ask_for() -> None:
    heard: dict[str, object] = {}

    from steelyard.core.loss import CrossEntropy

    class Curious(CrossEntropy):
        def rows(self, logits, target, *, clock, features, neighbours, **_):
            heard.update(clock=clock, features=features, neighbours=neighbours)
            return super().rows(logits, target)

    oracle = oracle_of(network(), Objective(Curious()))
    oracle.clock = Clock(step=7)
    oracle(batch_of().replace(extra={"neighbours": 5}))
    assert heard["clock"].step == 7
    assert heard["neighbours"] == 5
    assert heard["features"].shape == (12, 8)


def test_features_are_the_input_of_the_last_linear_layer() -> None:
    model = network().eval()
    oracle = oracle_of(model)
    torch.testing.assert_close(oracle(batch_of()).rows.features, model[:4](batch_of().inputs))
    oracle.close()
    assert not model[4]._forward_pre_hooks


def test_a_model_without_a_linear_layer_has_no_features() -> None:
    model = nn.Sequential(nn.Conv1d(4, 3, 1), nn.Flatten())
    task = Blobs()
    batch = batch_of().replace(inputs=torch.randn(12, 4, 1))
    assert find_head(model) is None
    assert Oracle(model, task.forward, Objective())(batch).rows.features is None


def test_a_marked_head_counts_as_linear() -> None:
    class Cosine(Head):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features[:, :3]

    model = nn.Sequential(nn.Linear(4, 8), Cosine())
    assert find_head(model)[0] == "1"
    tap = Tap(model)
    model(torch.ones(2, 4))
    assert tap.take().shape == (2, 8)
    assert tap.take() is None


def test_evidence_is_detached_and_mass_counts_rows() -> None:
    rows = Rows(torch.randn(3, 2, requires_grad=True), torch.tensor([0, 1, 1]))
    evaluation = Objective()(rows, Clock())
    assert evaluation.mass == 3
    evidence = evaluation.evidence()
    assert not evidence.logits.requires_grad
    assert not evidence.losses.requires_grad


@pytest.mark.parametrize("weight", [0.5, 2])
def test_a_number_as_weights_scales_the_loss(weight: float) -> None:
    oracle = oracle_of(network().eval())
    torch.testing.assert_close(oracle(batch_of(), weights=weight).loss, weight * oracle(batch_of()).loss)
