"""SAM: known values, in the loop, beside what would make it wrong."""

import copy

import pytest
import torch
from descent_cases import close, gradient, norm_net, norm_of, oracle, plain_net, rows, shift
from tiny import Blobs
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.core.fit import fit
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.regime import Regime
from steelyard.core.rows import Batch, Evidence, Rows
from steelyard.core.stage import Stage
from steelyard.core.weighting import Weighting
from steelyard.descents import SAM


def test_known_value_on_a_parabola():
    """L = theta^2 / 2 at theta = 3: the gradient is 3, the step rho, the gradient there 3 + rho."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 3.0)
    objective = Objective(lambda logits, target: logits[:, 0].square() / 2)
    asked = Oracle(model, lambda model, batch: Rows(model(batch.inputs), batch.target), objective)
    batch = Batch(torch.ones(1, 1), torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    assert SAM(rho=0.5)(asked, batch).loss.item() == 4.5
    assert model.weight.grad.item() == 3.5
    model.weight.grad = None
    SAM(rho=0.5, adaptive=True)(asked, batch)
    assert model.weight.grad.item() == pytest.approx(3 + 0.5 * 3)


def test_the_step_is_the_steepest_of_its_length():
    """To first order no other step of length rho raises the loss more."""
    model, batch, rho = plain_net().double(), rows(dtype=torch.float64), 1e-3
    asked = oracle(model)
    here = gradient(model, lambda: asked(batch).loss)
    start = asked(batch).loss.item()

    def rise(steps):
        twin = copy.deepcopy(model)
        shift(twin, steps)
        return oracle(twin)(batch).loss.item() - start

    best = rise([rho * value / norm_of(here) for value in here])
    for _ in range(20):
        other = [torch.randn_like(value) for value in here]
        assert rise([rho * value / norm_of(other) for value in other]) <= best + rho**2


class Counting(Weighting):
    """Other weights at every call."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, evidence: Evidence):
        self.calls += 1
        return torch.full(evidence.target.shape, float(self.calls))


def test_a_weighting_is_asked_once_a_step():
    weighting = Counting()
    found = SAM(0.1)(oracle(norm_net(), Objective(weighting=weighting)), rows())
    assert weighting.calls == 1
    assert found.weights.unique().tolist() == [1.0]


def test_the_loop_clips_and_steps_after_the_ascent():
    """Three epochs of one batch each, beside a loop by hand with torch's own clipping and optimiser."""
    rate, rho, most = 0.1, 0.3, 0.05

    def method(task):
        yield Stage(descent=SAM(rho))

    def build():
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()

    task = Blobs(build=build)
    for split in task.splits.values():
        split.inputs = split.inputs.double()
    regime = Regime(epochs=3, batch_size=94, lr=rate, momentum=0.9, weight_decay=1e-3, schedule="constant", clip_norm=most)
    fitted = fit(task, method, regime, device="cpu")
    start = fit(task, lambda task: (yield Stage()), regime.replace(epochs=1, lr=1e-300), device="cpu").model
    train = task.splits["train"]
    optimizer = torch.optim.SGD(start.parameters(), lr=rate, momentum=0.9, weight_decay=1e-3)

    def loss():
        return nn.functional.cross_entropy(start(train.inputs), train.target)

    for _ in range(3):
        here = gradient(start, loss)
        steps = [rho * value / norm_of(here) for value in here]
        saved = copy.deepcopy(start.state_dict())
        shift(start, steps)
        gradient(start, loss)
        start.load_state_dict(saved)
        assert torch.nn.utils.clip_grad_norm_(start.parameters(), most) > most
        optimizer.step()
    for mine, right in zip(fitted.model.parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-9, atol=1e-12)


def test_an_optimizer_and_a_scaler_of_one_s_own():
    """A loss multiplied by a constant, as loss scaling does, leaves the ascent as it is: only its direction counts."""
    model, batch = norm_net(), rows()
    twin = copy.deepcopy(model)
    SAM(0.2)(oracle(model), batch)
    scaled = Objective(lambda logits, target: 128 * nn.functional.cross_entropy(logits, target, reduction="none"))
    SAM(0.2)(oracle(twin, scaled), batch)
    close(twin, [128 * value.grad for value in model.parameters()], atol=1e-5)


def test_tied_parameters_move_together():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(5, 5, bias=False)
            self.two = nn.Linear(5, 5, bias=False)
            self.two.weight = self.one.weight
            self.head = nn.Linear(5, 3)

        def forward(self, inputs):
            return self.head(self.two(self.one(inputs).tanh()))

    torch.manual_seed(0)
    model, batch = Tied().double(), rows(dtype=torch.float64)
    twin = copy.deepcopy(model)
    SAM(0.3)(oracle(model), batch)
    here = gradient(twin, lambda: oracle(twin)(batch).loss)
    shift(twin, [0.3 * value / norm_of(here) for value in here])
    close(model, gradient(twin, lambda: oracle(twin)(batch).loss))


def test_wrong_settings_and_repr():
    with pytest.raises(ArgumentError, match="`rho` should be a finite number"):
        SAM(-1)
    assert repr(SAM(0.1)) == "SAM(rho=0.1, adaptive=False)"
