"""The cross-entropy of a meta set beside the gradient of another descent."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tiny import Blobs, Held, blobs, network
from torch import nn

from steelyard.core.descent import plain
from steelyard.core.errors import ArgumentError
from steelyard.core.fit import fit
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.regime import Regime
from steelyard.core.roles import Observes, playing
from steelyard.core.rows import Batch, Rows
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.descents.anchored import Anchored
from steelyard.weightings import InverseFrequency

REGIME = Regime(epochs=2, batch_size=16, lr=0.05)


def score(model: nn.Module, batch: Batch) -> Rows:
    return Rows(model(batch.inputs), batch.target, index=batch.index)


def setting(dropout: bool = False) -> tuple[nn.Module, Batch, Held]:
    rows, meta = blobs((9, 5, 2), 0), blobs((4, 4, 4), 1)
    model = network()
    if not dropout:
        model[3] = nn.Identity()
    return model, Batch(rows.inputs, rows.target, torch.arange(16)), meta


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("strength", [0.5, 10.0])
def test_the_gradient_is_the_sum(strength):
    model, batch, meta = setting()
    objective = Objective(weighting=InverseFrequency([9, 5, 2]))
    oracle = Oracle(model, score, objective)
    parameters = list(model.parameters())
    own = torch.autograd.grad(oracle(batch, probe=True).loss, parameters)
    theirs = torch.autograd.grad(F.cross_entropy(model(meta.inputs), meta.target), parameters)
    evaluation = Anchored(RowPool(meta, batch_size=12), strength)(oracle, batch)
    for found, one, other in zip(gradients(model), own, theirs, strict=True):
        torch.testing.assert_close(found, one + strength * other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(evaluation.weights, objective.weighting.class_weights[batch.target])


def test_statistics_count_the_training_batch_alone():
    model, batch, meta = setting(dropout=True)
    torch.manual_seed(0)
    Anchored(RowPool(meta), 1.0)(Oracle(model, score, Objective()), batch)
    found = {name: value.clone() for name, value in model.named_buffers()}
    model.zero_grad()
    other, _, _ = setting(dropout=True)
    other.load_state_dict(model.state_dict())
    other[1].reset_running_stats()
    plain(Oracle(other, score, Objective()), batch)
    assert all(torch.equal(value, found[name]) for name, value in other.named_buffers())


def test_at_strength_zero_it_is_the_other_descent_to_the_bit():
    def program(view: TaskView) -> Steps:
        yield Stage(descent=Anchored(RowPool(view.reserve(2)[1]), 0.0))

    def without(view: TaskView) -> Steps:
        yield Stage()

    mine, theirs = fit(Blobs(), program, REGIME).model, fit(Blobs(), without, REGIME).model
    assert all(torch.equal(one, other) for one, other in zip(mine.parameters(), theirs.parameters(), strict=True))


class Counting(nn.Module, Observes):
    """A descent with a role and a state."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, oracle, batch):
        return plain(oracle, batch)

    def observe(self, evidence):
        self.seen += len(evidence.target)


def test_the_descent_inside_keeps_its_role_and_its_state():
    inside = Counting()
    anchored = Anchored(RowPool(setting()[2]), 1.0, inside)
    assert playing([anchored]).observing == [inside]
    assert "descent.seen" in anchored.state_dict()


def test_it_trains_in_half_precision_too():
    def program(view: TaskView) -> Steps:
        rest, meta = view.reserve(3)
        yield Stage(descent=Anchored(RowPool(meta, seed=view.seed), 2.0), task=rest)

    fitted = fit(Blobs(), program, REGIME.replace(precision="bfloat16"))
    assert all(torch.isfinite(value).all() for value in fitted.model.state_dict().values())


@pytest.mark.parametrize("strength", [-1.0, float("inf"), float("nan")])
def test_wrong_strengths_are_named(strength):
    with pytest.raises(ArgumentError, match="`strength`"):
        Anchored(RowPool(setting()[2]), strength)
