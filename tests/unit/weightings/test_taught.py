"""The meta-learned weightings: what they learn is the derivative of the meta loss after the step, by their own parameters."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from ending import Bomb, Interrupt
from meta_cases import Logistic, forward, pool_of, rows
from networks import Adapted, Convolution
from tiny import Blobs, same_weights
from torch import Tensor, nn
from torch.func import functional_call

from steelyard.core.fit import fit
from steelyard.core.loss import CrossEntropy, Loss
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.regime import Regime
from steelyard.core.rows import Batch, Clock, Evidence
from steelyard.core.world import launch
from steelyard.descents import MetaBalance
from steelyard.settings import resolve_method
from steelyard.weightings import Lookahead, MetaClassWeights, MetaWeightNet
from steelyard.weightings._taught import Taught, is_small


class Recorded:
    """In the place of the optimiser of a weighting: keeps the gradient and moves nothing."""

    def __init__(self, own: Iterable[nn.Parameter]) -> None:
        self.own = list(own)
        self.gradients: list[Tensor] = []

    def step(self) -> None:
        self.gradients = [value.grad.clone() for value in self.own]


class Smooth(Taught):
    """v = sigmoid(b + a l): smooth, so that finite differences are exact."""

    def __init__(self, meta: RowPool, normalise: str = "batch", lookahead: Lookahead | None = None) -> None:
        super().__init__(meta, normalise=normalise, lookahead=lookahead, lr=1e-3, weight_decay=0.0)
        self.slope = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
        self.offset = nn.Parameter(torch.tensor(-0.2, dtype=torch.float64))
        self._teacher = Recorded(self.parameters())

    def raw(self, evidence: Evidence) -> Tensor:
        return torch.sigmoid(self.offset + self.slope * evidence.losses)


class Beside(CrossEntropy):
    """Cross-entropy and, beside all weights, a term that the step goes along as well."""

    def parts(self, logits: Tensor, target: Tensor, **context: Any) -> tuple[Tensor, Tensor]:
        return self.rows(logits, target), logits.square().mean(1)


def taught(
    weighting: Taught, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, loss: Loss | None = None
) -> list[Tensor]:
    """One whole step; returns the gradient that the weighting was taught with."""
    oracle = Oracle(model, forward, Objective(loss, weighting))
    oracle.optimizer = optimizer
    weighting.prepare(oracle, batch)
    optimizer.zero_grad()
    oracle(batch).loss.backward()
    optimizer.step()
    weighting.follow(oracle, batch)
    oracle.close()
    return weighting._teacher.gradients


@pytest.mark.parametrize(
    ("form", "expected"),
    [("none", (-0.0264799272, -0.0382024596)), ("batch", (0.0, 0.0)), ("detached", (-0.0482233808, -0.0695716322))],
)
def test_the_worked_example(form: str, expected: tuple[float, float]) -> None:
    """theta = 0, a step of 1, rows (1, 1), (1, 0), (2, 1), meta row (1, 1); gradients by (a, b) worked out by hand."""
    weighting = Smooth(pool_of(torch.tensor([1.0]).double(), torch.tensor([1])), form)
    with torch.no_grad():
        weighting.slope.zero_()
        weighting.offset.zero_()
    batch = Batch(torch.tensor([1.0, 1.0, 2.0]).double(), torch.tensor([1, 0, 1]), torch.arange(3))
    model = Logistic()
    found = taught(weighting, model, batch, torch.optim.SGD(model.parameters(), lr=1.0))
    torch.testing.assert_close(torch.stack(found), torch.tensor(expected, dtype=torch.float64), atol=2e-10, rtol=0)


@pytest.mark.parametrize("form", ["none", "batch"])
def test_losses_that_are_not_detached(form: str) -> None:
    """The worked example gives twice the slope in a; on a network, a finite difference of the step so defined."""
    weighting = Smooth(pool_of(torch.tensor([1.0]).double(), torch.tensor([1])), "none")
    weighting.detached = False
    with torch.no_grad():
        weighting.slope.zero_()
        weighting.offset.zero_()
    batch = Batch(torch.tensor([1.0, 1.0, 2.0]).double(), torch.tensor([1, 0, 1]), torch.arange(3))
    model: nn.Module = Logistic()
    assert taught(weighting, model, batch, torch.optim.SGD(model.parameters(), lr=1.0))[0].item() == pytest.approx(
        -0.0529598545, abs=2e-10
    )
    model, shape = network("mlp")
    (inputs, target), meta = rows(shape, 9, 1), rows(shape, 6, 2)
    weighting = Smooth(pool_of(*meta), form)
    weighting.detached = False
    params = dict(model.named_parameters())

    def after() -> Tensor:
        buffers = {name: value.clone() for name, value in model.named_buffers()}
        losses = F.cross_entropy(functional_call(model, params | buffers, (inputs,)), target, reduction="none")
        raw = torch.sigmoid(weighting.offset + weighting.slope * losses)
        inner = ((raw if form == "none" else raw / raw.mean()) * losses).mean()
        moved = {
            name: value - 0.3 * g
            for (name, value), g in zip(params.items(), torch.autograd.grad(inner, list(params.values())), strict=True)
        }
        return F.cross_entropy(functional_call(model, moved | buffers, (meta[0],)), meta[1]).detach()

    expected = []
    for value in weighting.parameters():
        sides = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                value += step
            sides.append(after())
            with torch.no_grad():
                value -= step
        expected.append((sides[0] - sides[1]) / 2e-5)
    found = taught(weighting, model, Batch(inputs, target, torch.arange(9)), torch.optim.SGD(model.parameters(), lr=0.3))
    torch.testing.assert_close(torch.stack(found), torch.stack(expected).double(), rtol=2e-5, atol=1e-9)


def network(kind: str) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(0)
    if kind == "convolution":
        return Convolution().double(), (3, 8, 8)
    if kind == "adapter":
        return Adapted().double(), (5,)
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double(), (5,)


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.3),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05),
}


def meta_loss_after(
    weighting: Smooth,
    model: nn.Module,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    meta: tuple[Tensor, Tensor],
    head: str = "",
    loss: Loss | None = None,
) -> Tensor:
    """Copies everything, makes the real step with torch's own optimiser, and measures."""
    model, optimizer, weighting = copy.deepcopy((model, optimizer, weighting))
    weighting.lookahead = Lookahead(every=10**6)
    oracle = Oracle(model, forward, Objective(loss, weighting))
    oracle.clock = Clock(step=1)
    optimizer.zero_grad()
    oracle(batch).loss.backward()
    before = copy.deepcopy(model.state_dict())
    optimizer.step()
    after = {name: value for name, value in model.named_parameters() if name.startswith(head)}
    rest = {name: value for name, value in before.items() if name not in after}
    with torch.no_grad():
        return F.cross_entropy(functional_call(model, after | rest, (meta[0],)), meta[1])


@pytest.mark.parametrize(
    ("optimizer", "kind"), [*((name, "mlp") for name in OPTIMIZERS), ("nesterov", "convolution"), ("adamw", "adapter")]
)
@pytest.mark.parametrize("form", ["batch", "none"])
@pytest.mark.parametrize("how", ["ahead", "online", "reverse", "head"])
def test_it_learns_from_the_step_that_the_optimiser_makes(optimizer: str, kind: str, form: str, how: str) -> None:
    model, shape = network(kind)
    made = OPTIMIZERS[optimizer](list(model.parameters()))
    for seed in range(3):  # so that there is momentum
        made.zero_grad()
        inputs, target = rows(shape, 9, 50 + seed)
        F.cross_entropy(model(inputs), target).backward()
        made.step()
    inputs, target = rows(shape, 9, 1)
    share = torch.rand(9, generator=torch.Generator().manual_seed(1)).double()
    batch, meta = Batch(inputs, target, torch.arange(9), share=share), rows(shape, 6, 2)
    lookahead = Lookahead(
        order="online" if how == "online" else "ahead",
        scope="head" if how == "head" else "all",
        estimator={"reverse": "reverse", "ahead": "forward"}.get(how, "auto"),
    )
    weighting = Smooth(pool_of(*meta), form, lookahead)
    head = {"mlp": "3.", "convolution": "head.", "adapter": "head."}[kind] if how == "head" else ""
    expected = by_differences(weighting, model, batch, made, meta, head)
    found = taught(weighting, model, batch, made)
    torch.testing.assert_close(torch.stack(found), torch.stack(expected).double(), rtol=2e-5, atol=1e-9)


def by_differences(weighting: Smooth, *how: Any) -> list[Tensor]:
    """The same gradient from the meta loss after steps with the parameters of the weighting a little to either side."""
    expected = []
    for value in weighting.parameters():
        sides = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                value += step
            sides.append(meta_loss_after(weighting, *how))
            with torch.no_grad():
                value -= step
        expected.append((sides[0] - sides[1]) / 2e-5)
    return expected


@pytest.mark.parametrize("how", ["ahead", "online", "reverse"])
def test_what_the_loss_has_beside_all_weights_is_part_of_the_step(how: str) -> None:
    model, shape = network("mlp")
    inputs, target = rows(shape, 9, 1)
    batch, meta = Batch(inputs, target, torch.arange(9)), rows(shape, 6, 2)
    estimator = "reverse" if how == "reverse" else "forward"
    weighting = Smooth(pool_of(*meta), "none", Lookahead(order="online" if how == "online" else "ahead", estimator=estimator))
    made = torch.optim.SGD(model.parameters(), lr=0.3)
    expected = by_differences(weighting, model, batch, made, meta, "", Beside())
    found = taught(weighting, model, batch, made, Beside())
    torch.testing.assert_close(torch.stack(found), torch.stack(expected).double(), rtol=2e-5, atol=1e-9)


def test_the_form_with_a_constant_divisor_is_the_plain_one_divided() -> None:
    inputs, target = rows((5,), 9, 1)
    batch, meta = Batch(inputs, target, torch.arange(9)), rows((5,), 6, 2)
    found = {}
    for form in ("none", "detached"):
        model, _ = network("adapter")
        weighting = Smooth(pool_of(*meta), form)
        losses = F.cross_entropy(model(inputs), target, reduction="none").detach()
        mean = weighting.raw(Evidence(target=target, losses=losses)).mean().item()
        # the step that "detached" tries is the one that "none" tries with a learning rate larger by 1 / mean
        rate = 0.3 / mean if form == "none" else 0.3
        found[form] = torch.stack(taught(weighting, model, batch, torch.optim.SGD(model.parameters(), lr=rate)))
    torch.testing.assert_close(found["detached"], found["none"], rtol=1e-9, atol=0)


def test_relative_weights_only_where_they_are_normalised() -> None:
    """sum_i v_i dL/dv_i = 0: multiplying all v by a number changes nothing."""

    class Scaled(Smooth):
        def raw(self, evidence: Evidence) -> Tensor:
            return (1 + self.slope) * torch.sigmoid(evidence.losses) + 0 * self.offset

    inputs, target = rows((5,), 9, 1)
    model, _ = network("mlp")
    weighting = Scaled(pool_of(*rows((5,), 6, 2)))
    found = taught(weighting, model, Batch(inputs, target, torch.arange(9)), torch.optim.SGD(model.parameters(), lr=0.3))
    assert abs(float(found[0])) < 1e-15


def test_nothing_but_the_weighting_moves_and_batch_norm_counts_once() -> None:
    model, shape = network("convolution")
    model = model.float()
    inputs, target = rows(shape, 9, 1)
    meta = rows(shape, 6, 2)
    for order in ("ahead", "online"):
        for scope in ("all", "head"):
            weighting = MetaWeightNet(pool_of(meta[0].float(), meta[1]), lookahead=Lookahead(order=order, scope=scope), lr=0.1)
            oracle = Oracle(model, forward, Objective(weighting=weighting))
            oracle.optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
            batch = Batch(inputs.float(), target, torch.arange(9))
            before = copy.deepcopy(model.state_dict())
            counted = int(before["body.1.num_batches_tracked"])
            learnt = copy.deepcopy(weighting.net.state_dict())
            weighting.prepare(oracle, batch)
            assert all(value.grad is None for value in [*model.parameters(), *weighting.parameters()])
            evaluation = oracle(batch)
            assert not evaluation.weights.requires_grad
            evaluation.loss.backward()
            oracle.optimizer.step()
            weighting.follow(oracle, batch)
            assert int(model.body[1].num_batches_tracked) == counted + 1
            assert all(torch.equal(before[name], value) for name, value in model.named_parameters())
            assert not same_weights(weighting.net, _loaded(weighting.net, learnt))
            oracle.optimizer.zero_grad()
            oracle.close()


def _loaded(module: nn.Module, state: dict[str, Any]) -> nn.Module:
    other = copy.deepcopy(module)
    other.load_state_dict(state)
    return other


def test_the_real_step_has_the_weights_that_were_just_learnt() -> None:
    inputs, target = rows((5,), 9, 1)
    model, _ = network("mlp")
    weighting = MetaClassWeights(pool_of(*rows((5,), 6, 2)), 3, lr=0.5)
    oracle = Oracle(model, forward, Objective(weighting=weighting))
    oracle.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = Batch(inputs, target, torch.arange(9))
    weighting.prepare(oracle, batch)
    raw = weighting.logs.detach().exp()[target]
    assert not torch.equal(raw, torch.ones(9))
    torch.testing.assert_close(oracle(batch).weights, raw / raw.mean())


@pytest.mark.parametrize(
    "method", ["mw-net", "mw-net(order=online)", "mw-net(every=3)", "cmw-net(after=0.0)", "l2rw", "curvenet(probe_epochs=2)"]
)
def test_resuming_ends_with_the_same_bits(method: str, tmp_path: Any) -> None:
    regime, chosen = Regime(epochs=3, batch_size=16, lr=0.05), resolve_method(method)
    whole = fit(Blobs(), chosen, regime, device="cpu")
    for number, steps in enumerate((3, 11)):
        folder = tmp_path / str(number)
        with pytest.raises(Interrupt):
            fit(Blobs(), chosen, regime, device="cpu", folder=folder, checkpoint_seconds=0.0, listeners=[Bomb(steps)])
        again = fit(Blobs(), chosen, regime, device="cpu", folder=folder, checkpoint_seconds=0.0)
        assert same_weights(whole.model, again.model)
        assert [line["class_weights"] for line in again.history] == [line["class_weights"] for line in whole.history]


def smooth_network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def together(method: str) -> dict[str, Tensor]:
    task = Blobs(counts=(64, 26, 12), build=smooth_network)  # 26 reserved, 76 trained on: 13 and 38 in each of two processes
    regime = Regime(epochs=3, batch_size=76, lr=0.05)
    return dict(fit(task, resolve_method(method), regime, device="cpu").model.state_dict())


@pytest.mark.multiprocess
@pytest.mark.parametrize("method", ["mw-net(normalise=none)", "mw-net(normalise=none, order=online)", "l2rw"])
def test_two_processes_learn_what_one_does(method: str) -> None:
    alone = together(method)
    for name, value in launch(together, 2, method).items():
        torch.testing.assert_close(value, alone[name], rtol=1e-3, atol=1e-4)


def test_it_runs_in_bfloat16() -> None:
    fitted = fit(Blobs(), resolve_method("mw-net"), Regime(epochs=2, batch_size=16, precision="bfloat16"), device="cpu")
    assert all(value.isfinite().all() for value in fitted.model.state_dict().values())


def test_rare_rows_come_to_weigh_more() -> None:
    for seed in range(5):
        task = Blobs(counts=(200, 12), build=lambda: nn.Linear(4, 2), seed=100 + seed)
        for method in ("meta-class-weights", "mw-net", "l2rw"):
            fitted = fit(task, resolve_method(method), Regime(epochs=15, batch_size=32, lr=0.2), seed=seed, device="cpu")
            weights = fitted.history[-1]["class_weights"]
            assert weights[1] > 1.02 * weights[0], method


def test_small_networks_of_linear_layers_are_told_from_others() -> None:
    assert is_small(Adapted()) and is_small(smooth_network())
    assert not is_small(Convolution()) and not is_small(nn.Linear(1000, 1000)) and not is_small(nn.LSTM(2, 2))


@pytest.mark.parametrize("order", ["ahead", "online"])
def test_under_metabalance_it_learns_from_the_batch_of_the_step_which_is_counted_once(order: str) -> None:
    model, shape = network("convolution")
    inputs, target = rows(shape, 9, 1)
    weighting = MetaClassWeights(pool_of(*rows(shape, 6, 2)), 3, lookahead=Lookahead(order=order))
    heard: list[Tensor] = []
    oracle = Oracle(model, forward, Objective(weighting=weighting))
    oracle.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = Batch(inputs, target, torch.arange(9))
    descent = MetaBalance(0.1, inner=pool_of(*rows(shape, 9, 3)))
    weighting.prepare(oracle, batch)
    descent(oracle, batch)
    oracle.optimizer.step()
    if weighting._heard is not None:
        heard.append(weighting._heard.target)
    weighting.follow(oracle, batch)
    assert [value is target for value in heard] == ([True] if order == "online" else [])
    assert int(model.body[1].num_batches_tracked) == 1
    assert weighting.logs.abs().max() > 0
