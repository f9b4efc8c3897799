"""Optimal-transport weights: what they tend to, what they leave alone, and that they survive a resume and several processes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Blobs, Held
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.rows import Batch, Clock, Evidence, Rows
from steelyard.core.task import TaskView
from steelyard.numeric.sinkhorn import cosine_cost, label_cost, nearest_masses
from steelyard.weightings import EffectiveNumber, OptimalTransport, TransportOptions

COUNTS = (12, 6, 3)
METHODS = ["sinkhorn", "closed_form", "released"]
every_method = pytest.mark.parametrize("method", METHODS)


class Direct(nn.Module):
    """Features are the inputs; a linear head of 4 columns."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(inputs)


def score(model: nn.Module, batch: Batch) -> Rows:
    logits = model(batch.inputs)
    logits = logits if batch.owner is None else logits[batch.owner]
    return Rows(logits, batch.target, index=batch.index, share=batch.share)


def setting(seed: int = 0, **given) -> tuple[OptimalTransport, Oracle, Batch, Held]:
    """A weighting, an oracle around a model whose features are its inputs, all rows as a batch, and the meta set."""
    stream = torch.Generator().manual_seed(seed)
    target = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
    centres = torch.randn(3, 4, generator=stream)
    inputs = centres[target] + torch.randn(len(target), 4, generator=stream)
    labels = torch.arange(3).repeat(4)
    meta = Held(centres[labels] + 0.5 * torch.randn(12, 4, generator=stream), labels)
    weighting = OptimalTransport(COUNTS, RowPool(meta), **given)
    oracle = Oracle(Direct(), score, Objective(weighting=weighting))
    return weighting, oracle, Batch(inputs, target, torch.arange(len(target))), meta


def weights_of(weighting: OptimalTransport, batch: Batch) -> torch.Tensor:
    return weighting(Evidence(target=batch.target, index=batch.index))


def part(batch: Batch, rows: torch.Tensor) -> Batch:
    return Batch(batch.inputs[rows], batch.target[rows], batch.index[rows])


# ---- what it computes


@pytest.mark.parametrize("points", ["prototypes", "whole"])
@pytest.mark.parametrize("cost", ["combined", "feature", "label"])
@pytest.mark.parametrize("anchor", [0.0, 1.0, 2.0])
def test_the_closed_form_is_the_formula(points, cost, anchor):
    options = TransportOptions(points=points, anchor=anchor)
    weighting, oracle, batch, meta = setting(method="closed_form", cost=cost, label_scale=0.7, eps=0.2, options=options)
    weighting.prepare(oracle, batch)
    labels = meta.target if points == "whole" else torch.arange(3)
    features = meta.inputs if points == "whole" else torch.stack([meta.inputs[meta.target == c].mean(0) for c in range(3)])
    by_feature, by_label = cosine_cost(features, batch.inputs), label_cost(labels, batch.target, 0.7)
    full = {"combined": 0.5 * by_feature + 0.5 * by_label, "feature": by_feature, "label": by_label}[cost]
    prior = anchor * EffectiveNumber(COUNTS).class_weights[batch.target].log()
    masses = torch.full((len(labels),), 1 / len(labels))
    expected = len(batch.target) * (masses[:, None] * torch.softmax(prior - full / 0.2, 1)).sum(0)
    torch.testing.assert_close(weights_of(weighting, batch), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("eps", "anchor", "rate"), [(0.5, 0.0, 0.2), (0.5, 1.0, 0.2), (2.0, 1.0, 1.0), (10.0, 0.0, 1.0)])
def test_sinkhorn_steps_lead_to_the_closed_form(eps, anchor, rate):
    options = TransportOptions(anchor=anchor, rate=rate, iterations=40)
    weighting, oracle, batch, _ = setting(method="sinkhorn", eps=eps, options=options)
    for _ in range(80):
        weighting.prepare(oracle, batch)
    exact, *_ = setting(method="closed_form", eps=eps, options=TransportOptions(anchor=anchor))
    exact.prepare(oracle, batch)
    found, best = weights_of(weighting, batch), weights_of(exact, batch)
    assert float(found.mean()) == pytest.approx(1, abs=1e-4)  # over the training rows, all of which are here
    torch.testing.assert_close(found, best, rtol=5e-3, atol=0)


def test_label_costs_give_inverse_frequency():
    """50, 20 and 5 rows, as the weights of rows: 1/150, 1/60 and 1/15 times their number."""
    target = torch.repeat_interleave(torch.arange(3), torch.tensor([50, 20, 5]))
    batch = Batch(torch.zeros(75, 4), target, torch.arange(75))
    meta = RowPool(Held(torch.zeros(3, 4), torch.arange(3)))
    weighting = OptimalTransport((50, 20, 5), meta, method="closed_form", cost="label", eps=0.01)
    weighting.prepare(Oracle(Direct(), score, Objective()), batch)
    expected = 75 * torch.tensor([1 / 150, 1 / 60, 1 / 15])
    torch.testing.assert_close(weights_of(weighting, batch)[[0, 50, 70]], expected, rtol=1e-5, atol=0)
    loose = OptimalTransport(
        (50, 20, 5), meta, method="closed_form", cost="label", eps=1.0, options=TransportOptions(anchor=0.0)
    )
    loose.prepare(Oracle(Direct(), score, Objective()), batch)
    mass = torch.zeros(3).index_add_(0, target, weights_of(loose, batch)) / 75
    torch.testing.assert_close(mass, torch.tensor([0.633, 0.287, 0.080]), atol=5e-4, rtol=0)


def test_given_the_rows_any_batch_size_leads_to_inverse_frequency():
    """Given the classes it does not: of a rare class a batch that has one row of it demands as much as of a common one."""
    ratios = {}
    for given_ in ("rows", "classes"):
        options = TransportOptions(given=given_, anchor=0.0, beta=0.0, rate=0.05)
        weighting, oracle, batch, _ = setting(method="sinkhorn", cost="label", eps=0.2, options=options)
        stream = torch.Generator().manual_seed(0)
        for _ in range(300):
            weighting.prepare(oracle, part(batch, torch.randperm(21, generator=stream)[:5]))
        found = weights_of(weighting, batch)
        ratios[given_] = float(found[batch.target == 2].mean() / found[batch.target == 0].mean())
    assert ratios["rows"] == pytest.approx(4, rel=0.15)
    assert ratios["classes"] < 3


@pytest.mark.parametrize(("given_", "expected"), [("classes", [1.0, 1.0]), ("nothing", [1.0, 1.0]), ("rows", [1 / 2, 3 / 2])])
def test_the_masses_follow_what_is_in_the_batch(given_, expected):
    """Six rows of class 0 (of 12) and three of class 1 (of 6), or all three of class 2, under label costs."""
    options = TransportOptions(given=given_, anchor=0.0)
    weighting, oracle, batch, _ = setting(method="closed_form", cost="label", eps=0.01, options=options)
    rows = torch.tensor([0, 1, 2, 18, 19, 20])
    weighting.prepare(oracle, part(batch, rows))
    found = weights_of(weighting, part(batch, rows))
    mass = torch.stack([found[:3].sum(), found[3:].sum()]) / 3
    if given_ == "rows":  # a quarter of class 0, and the whole of class 2
        expected = [2 * 0.25 / 1.25, 2 * 1 / 1.25]
    torch.testing.assert_close(mass, torch.tensor(expected), atol=1e-5, rtol=0)


@every_method
def test_it_begins_as_effective_number_weights(method):
    weighting, _, batch, _ = setting(method=method)
    begin, known = weights_of(weighting, batch), EffectiveNumber(COUNTS).class_weights[batch.target]
    torch.testing.assert_close(begin / begin.sum(), known / known.sum())
    if method == "released":
        torch.testing.assert_close(begin, known)
    else:
        assert float(begin.mean()) == pytest.approx(1)


# ---- properties


@every_method
def test_the_order_of_the_batch_does_not_matter(method):
    weighting, oracle, batch, _ = setting(method=method)
    other, _, _, _ = setting(method=method)
    order = torch.randperm(len(batch.target))
    weighting.prepare(oracle, batch)
    other.prepare(oracle, part(batch, order))
    torch.testing.assert_close(weights_of(weighting, batch), weights_of(other, batch), rtol=1e-5, atol=1e-6)


@every_method
def test_rows_that_are_alike_get_the_same_weight(method):
    weighting, oracle, batch, _ = setting(method=method)
    twins = batch.replace(inputs=batch.inputs.index_copy(0, torch.tensor([1]), batch.inputs[:1]))
    for _ in range(3):
        weighting.prepare(oracle, twins)
    found = weights_of(weighting, twins)
    assert float(found[0]) == pytest.approx(float(found[1]), rel=1e-6)
    assert float((found[0] - found[2]).abs()) > 1e-6


@every_method
def test_balanced_rows_like_the_meta_set_stay_uniform(method):
    centres, target = torch.eye(3, 4), torch.arange(3).repeat_interleave(5)
    batch = Batch(centres[target], target, torch.arange(15))
    options = None if method == "closed_form" else TransportOptions(rate=0.5)
    weighting = OptimalTransport((5, 5, 5), RowPool(Held(centres, torch.arange(3))), method=method, options=options)
    for _ in range(5):
        weighting.prepare(Oracle(Direct(), score, Objective()), batch)
    found = weights_of(weighting, batch)
    torch.testing.assert_close(found / found.mean(), torch.ones(15), rtol=1e-5, atol=0)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.sampled_from(METHODS), st.sampled_from([1e-3, 0.1, 10.0]), st.integers(1, 21))
def test_weights_are_finite_whatever_the_batch(seed, method, eps, size):
    weighting, oracle, batch, _ = setting(seed, method=method, eps=eps)
    stream = torch.Generator().manual_seed(seed)
    for _ in range(4):
        weighting.prepare(oracle, part(batch, torch.randperm(21, generator=stream)[:size]))
    found = weights_of(weighting, batch)
    assert torch.isfinite(found).all()
    assert (found >= 0).all()
    if method == "sinkhorn":
        assert float(found.mean()) == pytest.approx(1, rel=1e-3)


def test_features_of_zeros_and_double_precision_work():
    weighting, oracle, batch, meta = setting(method="sinkhorn")
    oracle.model.double()
    meta.inputs = meta.inputs.double()
    weighting.prepare(oracle, batch.replace(inputs=torch.zeros_like(batch.inputs).double()))
    assert torch.isfinite(weights_of(weighting, batch)).all()


# ---- shares, repeated rows, foreign rows


@pytest.mark.parametrize("method", ["sinkhorn", "closed_form"])
def test_a_row_of_share_zero_is_as_if_it_were_not_there(method):
    weighting, oracle, batch, _ = setting(method=method)
    other, *_ = setting(method=method)
    share = torch.ones(21).index_fill(0, torch.tensor([0, 5, 20]), 0.0)
    here = share > 0
    weighting.prepare(oracle, batch.replace(share=share))
    other.prepare(oracle, part(batch, here))
    torch.testing.assert_close(weights_of(weighting, batch)[here], weights_of(other, batch)[here], rtol=1e-5, atol=1e-6)
    assert weighting.shift[~here].tolist() == [0, 0, 0]


@every_method
def test_a_row_drawn_twice_gets_one_weight_and_the_table_stays_sound(method):
    weighting, oracle, batch, _ = setting(method=method)
    twice = part(batch, torch.tensor([0, 0, 3, 12, 12, 12, 20]))
    for _ in range(5):
        weighting.prepare(oracle, twice)
    found = weights_of(weighting, twice)
    assert found[0] == found[1]
    assert found[3] == found[4] == found[5]
    total = (weighting.class_weights[batch.target].double() * weighting.shift.double().exp()).sum()
    if method == "sinkhorn":
        torch.testing.assert_close(weighting.total, total, rtol=1e-6, atol=0)


def test_a_row_of_another_split_weighs_as_its_class():
    weighting, oracle, batch, _ = setting()
    weighting.prepare(oracle, batch)
    beyond = weighting(Evidence(target=torch.tensor([0, 2]), index=torch.tensor([21, 1000])))
    mean = float(weighting.total) / 21
    torch.testing.assert_close(beyond, weighting.class_weights[[0, 2]] / mean)
    before = weighting.shift.clone()
    weighting.prepare(oracle, Batch(batch.inputs[:2], batch.target[:2], torch.tensor([21, 22])))
    assert torch.equal(weighting.shift, before)


def test_rows_without_a_number_are_refused():
    with pytest.raises(ArgumentError, match=r"evidence\.index"):
        setting()[0](Evidence(target=torch.tensor([0])))


# ---- the model is left alone


def bits(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@every_method
def test_the_model_is_left_as_it_is_to_the_bit(method):
    task = Blobs()
    model = TaskView(task).model()
    model[3].eval()  # a module that somebody froze stays as it is
    flags = [module.training for module in model.modules()]
    weighting = OptimalTransport(task.counts, RowPool(TaskView(task).reserve(4)[1]), method=method)
    oracle = Oracle(model, task.forward, Objective(weighting=weighting))
    before, random = bits(model), torch.get_rng_state()
    rows = task.splits["train"]
    index = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:16]
    batch = Batch(rows.inputs[index], rows.target[index], index)
    kept = oracle.keep(batch)
    before = bits(model)
    random = torch.get_rng_state()
    weighting.prepare(oracle, batch)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    evaluation = oracle(batch)
    assert evaluation.rows.logits is kept.logits  # kept by another part, for the step
    assert not evaluation.weights.requires_grad


def test_flags_come_back_when_the_model_fails():
    weighting, oracle, batch, _ = setting()
    with pytest.raises(RuntimeError):
        weighting.prepare(oracle, batch.replace(inputs=torch.zeros(21, 7)))
    assert all(module.training for module in oracle.model.modules())


def test_with_label_costs_the_model_is_not_asked():
    weighting, oracle, batch, _ = setting(cost="label")
    oracle.model.forward = None
    weighting.prepare(oracle, batch)
    assert float(weights_of(weighting, batch).std()) > 0


def test_a_model_without_a_classifier_is_refused_with_a_way_out():
    _, _, batch, meta = setting()
    weighting = OptimalTransport(COUNTS, RowPool(meta))
    oracle = Oracle(nn.Flatten(), score, Objective())
    with pytest.raises(CombinationError, match="cost='label'"):
        weighting.prepare(oracle, batch)


@pytest.mark.parametrize(("refresh", "looks"), [(None, [0, 4]), (3, [0, 3, 6]), (1, list(range(8)))])
def test_the_meta_set_is_looked_at_when_asked_to(refresh, looks):
    weighting, oracle, batch, _ = setting(options=TransportOptions(refresh=refresh))
    seen = []
    read = oracle.read
    oracle.read = lambda inputs: (seen.append(oracle.clock.step), read(inputs))[1]
    for step in range(8):
        oracle.clock = Clock(step=step, epoch=step // 4, epochs=2, position=step % 4, batches=4)
        weighting.prepare(oracle, batch)
    assert seen == looks


# ---- arguments


@pytest.mark.parametrize(
    ("given_", "named"),
    [
        ({"method": "emd"}, "method"),
        ({"cost": "pixels"}, "cost"),
        ({"label_scale": -1.0}, "label_scale"),
        ({"eps": 0.0}, "eps"),
        ({"options": TransportOptions(rate=1.5)}, "rate"),
        ({"method": "closed_form", "options": TransportOptions(rate=0.5)}, "rate"),
    ],
)
def test_wrong_settings_are_named(given_, named):
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        setting(**given_)


@pytest.mark.parametrize(
    ("given_", "named"),
    [
        ({"points": "mean"}, "points"),
        ({"given": "luck"}, "given"),
        ({"anchor": -1.0}, "anchor"),
        ({"beta": 1.5}, "beta"),
        ({"rate": 0.0}, "rate"),
        ({"refresh": 0}, "refresh"),
        ({"iterations": 0}, "iterations"),
    ],
)
def test_wrong_options_are_named(given_, named):
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        TransportOptions(**given_)


def test_a_meta_set_without_a_class_is_refused():
    with pytest.raises(ArgumentError, match="none of class 2"):
        OptimalTransport((3, 3, 3), RowPool(Held(torch.zeros(2, 4), torch.arange(2))))
    OptimalTransport((3, 3, 0), RowPool(Held(torch.zeros(2, 4), torch.arange(2))))  # nobody trains on class 2
    with pytest.raises(ArgumentError, match="class 5"):
        OptimalTransport((3, 3), RowPool(Held(torch.zeros(3, 4), torch.tensor([0, 1, 5]))))


def test_the_numeric_solution_is_what_is_used():
    """The table and the pure function agree, so their tests count for each other."""
    weighting, oracle, batch, _ = setting(method="closed_form", cost="label", options=TransportOptions(anchor=0.0))
    weighting.prepare(oracle, batch)
    masses = nearest_masses(label_cost(torch.arange(3), batch.target), torch.full((3,), 1 / 3), 0.1)
    torch.testing.assert_close(weights_of(weighting, batch), 21 * masses, rtol=1e-5, atol=0)
