"""The meta-learned weightings: what they learn is the derivative of the meta loss after the step, by their own parameters."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from networks import Adapted, Convolution
from tiny import Blobs, same_weights
from torch import Tensor, nn
from torch.func import functional_call

from steelyard.core.errors import ArgumentError
from steelyard.core.fit import fit
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.regime import Regime
from steelyard.core.roles import Observes
from steelyard.core.rows import Batch, Clock, Evidence, Rows
from steelyard.core.world import launch
from steelyard.data import ResidentSource
from steelyard.settings import resolve_method
from steelyard.weightings import LearnToReweight, Lookahead, LossCurveNet, LossCurves, MetaClassWeights, MetaWeightNet
from steelyard.weightings._taught import Taught
from steelyard.weightings.class_aware_meta_weight_net import ClassAwareMetaWeightNet, cluster
from steelyard.weightings.loss_curve_net import centred


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


class Logistic(nn.Module):
    """One parameter: the logits of two classes are 0 and theta x."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(inputs), self.theta * inputs], 1)


def forward(model: nn.Module, batch: Batch) -> Rows:
    return Rows(model(batch.inputs), batch.target, index=batch.index, share=batch.share)


def pool_of(inputs: Tensor, target: Tensor) -> RowPool:
    return RowPool(ResidentSource(inputs, target), batch_size=len(target))


def rows(shape: tuple[int, ...], size: int, seed: int) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(size, *shape, generator=stream).double(), torch.randint(0, 3, (size,), generator=stream)


def taught(weighting: Taught, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """One whole step; returns the gradient that the weighting was taught with."""
    oracle = Oracle(model, forward, Objective(weighting=weighting))
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


def test_the_worked_example_of_learning_to_reweight() -> None:
    weighting = LearnToReweight(pool_of(torch.tensor([1.0]).double(), torch.tensor([1])))
    oracle = Oracle(Logistic(), forward, Objective(weighting=weighting))
    batch = Batch(torch.tensor([1.0, 1.0, 2.0]).double(), torch.tensor([1, 0, 1]), torch.arange(3))
    weighting.prepare(oracle, batch)
    assert oracle(batch).weights.tolist() == pytest.approx([1.0, 0.0, 2.0])


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
    weighting: Smooth, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, meta: tuple[Tensor, Tensor], head: str
) -> Tensor:
    """Copies everything, makes the real step with torch's own optimiser, and measures."""
    model, optimizer, weighting = copy.deepcopy((model, optimizer, weighting))
    weighting.lookahead = Lookahead(every=10**6)
    oracle = Oracle(model, forward, Objective(weighting=weighting))
    oracle.clock = Clock(step=1)
    optimizer.zero_grad()
    oracle(batch).loss.backward()
    before = copy.deepcopy(model.state_dict())
    optimizer.step()
    after = {name: value for name, value in model.named_parameters() if name.startswith(head)}
    rest = {name: value for name, value in before.items() if name not in after}
    with torch.no_grad():
        return F.cross_entropy(functional_call(model, after | rest, (meta[0],)), meta[1])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["mlp", "convolution", "adapter"])
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
        estimator="reverse" if how == "reverse" else "auto",
    )
    weighting = Smooth(pool_of(*meta), form, lookahead)
    head = {"mlp": "3.", "convolution": "head.", "adapter": "head."}[kind] if how == "head" else ""
    expected = []
    for value in weighting.parameters():
        sides = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                value += step
            sides.append(meta_loss_after(weighting, model, batch, made, meta, head))
            with torch.no_grad():
                value -= step
        expected.append((sides[0] - sides[1]) / 2e-5)
    found = taught(weighting, model, batch, made)
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


def test_learning_to_reweight_agrees_with_gradients_row_by_row() -> None:
    model, shape = network("mlp")
    model.eval()
    (inputs, target), meta = rows(shape, 9, 1), rows(shape, 6, 2)
    params = list(model.parameters())
    towards = torch.autograd.grad(F.cross_entropy(model(meta[0]), meta[1]), params)
    agreement = []
    for i in range(9):
        mine = torch.autograd.grad(F.cross_entropy(model(inputs[i : i + 1]), target[i : i + 1]), params)
        agreement.append(sum((a * b).sum() for a, b in zip(mine, towards, strict=True)))
    expected = torch.stack(agreement).clamp_min(0)
    weighting = LearnToReweight(pool_of(*meta))
    oracle = Oracle(model, forward, Objective(weighting=weighting))
    batch = Batch(inputs, target, torch.arange(9))
    weighting.prepare(oracle, batch)
    torch.testing.assert_close(oracle(batch).weights.double(), 9 * expected / expected.sum(), rtol=1e-5, atol=1e-6)
    other = Batch(inputs, target.clone(), torch.arange(9))
    assert torch.equal(oracle(other).weights, torch.ones(9))


def test_learning_to_reweight_in_its_limits() -> None:
    meta = pool_of(torch.ones(1, 2).double(), torch.tensor([0]))
    model = nn.Linear(2, 2).double()
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
    weighting = LearnToReweight(meta)
    oracle = Oracle(model, forward, Objective(weighting=weighting))
    for labels, expected in (([0, 0, 0], [1.0, 1.0, 1.0]), ([1, 1, 1], [0.0, 0.0, 0.0]), ([0, 1, 0], [1.5, 0.0, 1.5])):
        batch = Batch(torch.ones(3, 2).double(), torch.tensor(labels), torch.arange(3))
        weighting.prepare(oracle, batch)
        evaluation = oracle(batch)
        assert evaluation.weights.tolist() == pytest.approx(expected)
        assert bool(evaluation.loss.isfinite())


def test_groups_of_classes_keep_to_themselves() -> None:
    meta = pool_of(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))
    net = ClassAwareMetaWeightNet(meta, [1000, 900, 100, 90, 10])
    losses = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.5])
    evidence = Evidence(target=torch.arange(5), losses=losses)
    before = net.raw(evidence).detach()
    assert before[0] == before[1] and before[2] == before[3]
    with torch.no_grad():
        net.net.heads.bias[1] += 1
    after = net.raw(evidence).detach()
    assert torch.equal(before[[0, 1, 4]], after[[0, 1, 4]]) and (after[2:4] > before[2:4]).all()
    (gradient,) = torch.autograd.grad(net.raw(Evidence(target=torch.tensor([4]), losses=losses[:1])).sum(), net.net.heads.bias)
    assert gradient[:2].tolist() == [0.0, 0.0] and gradient[2] != 0
    loop = torch.stack([net.net(losses[i : i + 1])[0, net.group[i]] for i in range(5)]).detach()
    torch.testing.assert_close(net.raw(evidence).detach(), loop)
    lines = net.explain()["weight"]
    assert len(lines) == 3 and all(len(line) == 50 for line in lines.values())


def test_clusters_are_the_best_ones() -> None:
    sklearn = pytest.importorskip("sklearn.cluster")
    for seed in range(5):
        sizes = torch.rand(12, generator=torch.Generator().manual_seed(seed)).double()
        found = cluster(sizes, 3)
        means = torch.stack([sizes[found == g].mean() for g in range(3)])
        ours = float((sizes - means[found]).pow(2).sum())
        theirs = sklearn.KMeans(3, n_init=50, random_state=0).fit(sizes[:, None].numpy()).inertia_
        assert ours <= theirs + 1e-12
        assert (means.diff() < 0).all()
    assert cluster(torch.ones(5), 3).tolist() == [0] * 5
    with pytest.raises(ArgumentError, match="groups"):
        cluster(torch.ones(5), 0)


def test_curves_are_recorded_centred_and_filled() -> None:
    record = LossCurves(4, 3)
    for epoch in range(3):
        clock = Clock(epoch=epoch, epochs=3)
        drawn = torch.tensor([2, 0]) if epoch else torch.tensor([1, 0])
        record.observe(Evidence(target=torch.zeros(2).long(), losses=drawn + 10.0 * epoch, index=drawn, clock=clock))
    assert record.curves[0].tolist() == [0.0, 10.0, 20.0]
    assert record.curves[1, 0] == 1 and record.curves[1, 1:].isnan().all()
    target = torch.tensor([0, 0, 0, 1])
    away = centred(record.curves, target)
    assert away.isfinite().all()
    torch.testing.assert_close(torch.stack([away[target == c].mean(0) for c in range(2)]), torch.zeros(2, 3))
    assert away[3].tolist() == [0.0, 0.0, 0.0]  # never drawn
    torch.testing.assert_close(centred(record.curves, target, 1), away[:, 1:])
    with pytest.raises(ArgumentError, match="burn_in"):
        centred(record.curves, target, 3)


def test_a_curve_net_starts_as_plain_training_and_freezes() -> None:
    torch.manual_seed(0)
    meta = pool_of(*rows((5,), 6, 2))
    net = LossCurveNet(meta, torch.randn(9, 4), 3, normalise="none", lookahead=Lookahead(until=0.4))
    inputs, target = rows((5,), 9, 1)
    evidence = Evidence(target=target, index=torch.arange(9))
    torch.testing.assert_close(net(evidence).detach(), torch.full((9,), 1.0090130574))
    model, _ = network("mlp")
    oracle = Oracle(model, forward, Objective(weighting=net))
    oracle.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = Batch(inputs, target, torch.arange(9))
    oracle.clock = Clock(epoch=3, epochs=10)
    net.prepare(oracle, batch)
    learnt = net(evidence).detach()
    assert not torch.equal(learnt, torch.full((9,), 1.0090130574))
    net.meta = None  # nothing of it is asked for any more
    oracle.clock = Clock(epoch=4, epochs=10)
    net.prepare(oracle, batch)
    assert torch.equal(net(evidence).detach(), learnt)


class Interrupt(Exception):
    pass


class Bomb(Observes):
    def __init__(self, steps: int) -> None:
        self.left = steps

    def observe(self, evidence: Evidence) -> None:
        self.left -= 1
        if self.left == 0:
            raise Interrupt


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


def test_flipped_rows_weigh_less() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        target = torch.randint(0, 2, (200,))
        inputs = torch.randn(200, 2) + 2 * (2 * target[:, None] - 1)
        given = torch.where(torch.rand(200) < 0.3, 1 - target, target)
        weighting = LearnToReweight(pool_of(inputs[:20], target[:20]))
        oracle = Oracle(nn.Linear(2, 2), forward, Objective(weighting=weighting))
        batch = Batch(inputs[20:], given[20:], torch.arange(180))
        weighting.prepare(oracle, batch)
        weights = oracle(batch).weights
        flipped = (given != target)[20:]
        assert weights[flipped].mean() < 0.5 * weights[~flipped].mean()


def test_bad_settings_are_one_sentence() -> None:
    meta = pool_of(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))
    for settings, name in (
        ({"every": 0}, "every"),
        ({"scope": "body"}, "scope"),
        ({"order": "later"}, "order"),
        ({"estimator": "magic"}, "estimator"),
        ({"after": 1.5}, "after"),
        ({"until": -0.1}, "until"),
    ):
        with pytest.raises(ArgumentError, match=name):
            Lookahead(**settings)
    for settings, name in (({"normalise": "rows"}, "normalise"), ({"lr": 0.0}, "lr"), ({"weight_decay": -1.0}, "weight_decay")):
        with pytest.raises(ArgumentError, match=name):
            MetaWeightNet(meta, **settings)
    with pytest.raises(ArgumentError, match="online"):
        LearnToReweight(meta, lookahead=Lookahead(order="online"))
    with pytest.raises(ArgumentError, match="hidden"):
        MetaWeightNet(meta, hidden=0)
    with pytest.raises(ArgumentError, match="losses"):
        MetaWeightNet(meta)(Evidence(target=torch.tensor([0])))
    with pytest.raises(ArgumentError, match="index"):
        LossCurveNet(meta, torch.zeros(2, 3), 2)(Evidence(target=torch.tensor([0])))
    with pytest.raises(ArgumentError, match="curves"):
        LossCurveNet(meta, torch.full((2, 3), torch.nan), 2)
    with pytest.raises(ArgumentError, match="num_classes"):
        MetaClassWeights(meta, 0)
