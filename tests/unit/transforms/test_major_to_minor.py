"""M2m: its limits, what it must not touch, and what it refuses. Row by row it is checked in tests/reference/test_m2m.py."""

import copy
import io
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.rows import Batch, Clock, Rows
from steelyard.core.seeds import generator
from steelyard.data import ResidentSource
from steelyard.transforms import MajorToMinor
from steelyard.transforms.major_to_minor import HALF, Box, Search, acceptance

CLASSES, WIDTH = 4, 6
SURE = Search(lam=0.1, steps=20, step_size=0.5)
COUNTS = [400, 100, 20, 3]


def network(seed: int = 0, width: int = WIDTH) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = nn.Sequential(nn.Linear(width, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, CLASSES))
        made(torch.randn(30, width))
    return made


def oracle(seed: int = 0, model: nn.Module | None = None, precision: str = "float32") -> Oracle:
    def forward(model: nn.Module, batch: Batch) -> Rows:
        return Rows(model(batch.inputs), batch.target, index=batch.index, share=batch.share)

    return Oracle(network() if model is None else model, forward, Objective(), precision, generator(seed, "draws"))


def batch(rows: int = 40, seed: int = 0, **fields) -> Batch:
    stream = generator(seed, "batch")
    inputs = torch.randn(rows, WIDTH, generator=stream)
    return Batch(inputs, torch.arange(rows) % CLASSES, torch.arange(rows), **fields)


def changed(before: Batch, after: Batch) -> torch.Tensor:
    return (after.inputs != before.inputs).flatten(1).any(1)


def test_beta_says_how_readily_a_class_takes_from_a_larger_one():
    surplus = torch.tensor([-3.0, 0.0, 1.0, 700.0])
    assert acceptance(surplus, 0.0).tolist() == [0, 0, 1, 1]
    assert acceptance(surplus, 1.0).tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(acceptance(surplus, 0.999), torch.tensor([0, 0, 0.001, 1 - 0.999**700]), rtol=1e-5, atol=1e-9)


def test_beta_follows_from_the_largest_class():
    assert MajorToMinor([5000, 50], network()).beta == pytest.approx(0.999, rel=1e-12)
    assert MajorToMinor([500, 5], network()).beta == pytest.approx(0.99, abs=1e-4)
    half = MajorToMinor([300, 3], network(), half=0.5).beta
    assert float(acceptance(torch.tensor(150.0), half)) == pytest.approx(0.5, abs=1e-6)
    assert pytest.approx(692.8, abs=0.1) == HALF * 5000
    assert MajorToMinor(COUNTS, network(), beta=0.9).beta == 0.9


@pytest.mark.parametrize(
    "settings",
    [
        {"class_counts": [7] * CLASSES, "beta": 0.0},
        {"beta": 1.0},
        {"gamma": 1.01},
        {"after": 1.0},
        {"gamma": 1.0, "search": Search(steps=0, start=0.0)},
    ],
    ids=["equal counts", "beta=1", "gamma>1", "never", "nobody is sure"],
)
def test_in_its_limits_no_row_changes(settings):
    source = batch()
    made = MajorToMinor(**({"class_counts": COUNTS, "generator": network(1)} | settings))(oracle(), source)
    assert torch.equal(made.inputs, source.inputs)
    if "search" not in settings:
        assert made is source


def test_near_beta_one_hardly_a_row_changes():
    source = batch(400)
    made = MajorToMinor(COUNTS, network(1), beta=1 - 1e-9, gamma=0.0, search=Search(steps=1))(oracle(), source)
    assert not changed(source, made).any()


@given(counts=st.lists(st.integers(0, 50), min_size=CLASSES, max_size=CLASSES).filter(any), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_only_rows_with_a_larger_class_beside_them_change(counts, seed):
    source = batch(13, seed)
    part = MajorToMinor(counts, network(1), beta=0.0, gamma=0.0, search=Search(steps=1))
    made = part(oracle(seed), source)
    sizes = torch.tensor(counts).clamp_min(1)[source.target]
    assert not changed(source, made)[sizes == sizes.max()].any()
    assert torch.equal(made.target, source.target)
    assert torch.equal(made.index, source.index)
    assert made.share is source.share


def test_with_beta_zero_the_smallest_class_changes_as_often_as_its_share_is_missing():
    source = batch(4000)
    part = MajorToMinor([100, 80, 60, 25], network(1), beta=0.0, gamma=0.0, search=Search(steps=1))
    rate = changed(source, part(oracle(), source))[source.target == 3].float().mean().item()
    assert rate == pytest.approx(0.75, abs=5 * math.sqrt(0.75 * 0.25 / 1000))


def test_a_taken_input_is_one_the_generator_is_sure_of():
    g = network(1)
    source = batch(200)
    made = MajorToMinor(COUNTS, g, beta=0.0, gamma=0.6, search=SURE)(oracle(), source)
    found = changed(source, made)
    assert int(found.sum()) > 20
    sure = g.eval()(made.inputs).softmax(1).gather(1, source.target[:, None])[:, 0]
    assert bool((sure[found] >= 0.6 - 1e-6).all())
    everything = MajorToMinor(COUNTS, g, beta=0.0, gamma=0.0, search=SURE)(oracle(), source)
    assert torch.equal(made.inputs[found], everything.inputs[found])
    refused = changed(source, everything) & ~found
    assert bool(refused.any())
    assert bool((g.eval()(everything.inputs[refused]).softmax(1).gather(1, source.target[refused, None]) < 0.6 + 1e-6).all())


def test_without_lambda_a_linear_generator_is_climbed_along_its_gradient():
    g = nn.Linear(WIDTH, CLASSES).double()
    source = batch(60).replace(inputs=batch(60).inputs.double())
    search = Search(lam=0.0, steps=1, step_size=1e-3, start=0.0)
    made = MajorToMinor(COUNTS, g, beta=0.0, gamma=0.0, search=search)(oracle(model=network().double()), source)
    found = changed(source, made).nonzero()[:, 0].tolist()
    assert len(found) > 10
    for i in found:
        steps = []
        for seed in source.inputs:
            p = g(seed).softmax(0).detach()
            p[source.target[i]] -= 1
            slope = g.weight.detach().T @ p
            steps.append(seed - 1e-3 * slope / slope.norm())
        distance = (torch.stack(steps) - made.inputs[i]).norm(dim=1)
        j = int(distance.argmin())
        assert distance[j] < 1e-9
        assert COUNTS[source.target[j]] > COUNTS[source.target[i]]
        k = source.target[i]
        assert -g(made.inputs[i]).log_softmax(0)[k] < -g(source.inputs[j]).log_softmax(0)[k]


def test_lambda_lowers_the_logit_of_the_seed_s_class():
    source = batch(400)

    def logit(lam: float) -> float:
        part = MajorToMinor([400, 3, 3, 3], network(1), beta=0.0, gamma=0.0, search=Search(lam=lam, steps=20))
        made = part(oracle(), source)
        with torch.no_grad():
            return float(network().eval()(made.inputs)[changed(source, made), 0].mean())

    assert logit(5.0) < logit(0.5) < logit(0.0)


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("fails", [False, True], ids=["", "and fails"])
@pytest.mark.parametrize("own", [False, True], ids=["generator", "copy"])
def test_nothing_of_either_network_is_touched(own, fails):
    f, g = network(), network(1)
    f.train()
    f[1].eval()
    g.train()
    for parameter in g.parameters():
        parameter.requires_grad_(False)
    for parameter in f.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = state_of(f), state_of(g)
    flags = [module.training for model in (f, g) for module in model.modules()]
    asked = oracle(model=f)
    asked.clock = Clock(epoch=9, epochs=10)
    part = MajorToMinor(COUNTS, None if own else g, beta=0.0, gamma=0.0)
    state = torch.get_rng_state()
    if fails:
        with pytest.raises(RuntimeError):
            part(asked, batch().replace(inputs=torch.zeros(40, WIDTH + 1)))
    else:
        source = batch()
        assert changed(source, part(asked, source)).any()
    for model, was in zip((f, g), before, strict=True):
        assert all(torch.equal(value, was[name]) for name, value in model.state_dict().items())
    assert [module.training for model in (f, g) for module in model.modules()] == flags
    assert all(torch.equal(p.grad, torch.ones_like(p)) and p.requires_grad for p in f.parameters())
    assert all(p.grad is None and not p.requires_grad for p in g.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_a_seed_makes_the_same_rows_and_another_seed_others():
    source = batch()
    part = MajorToMinor(COUNTS, network(1), beta=0.0, gamma=0.0)
    one, same, other = (part(oracle(seed), source).inputs for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_seeds_of_a_pool_help_where_the_batch_has_none():
    rare = batch(12).replace(target=torch.full((12,), 3))
    alone = MajorToMinor(COUNTS, network(1), beta=0.0, gamma=0.0)
    assert alone(oracle(), rare) is rare
    rows = ResidentSource(torch.full((5, WIDTH), 7.0), torch.zeros(5).long())
    search = Search(steps=1, step_size=0.1, start=0.5, seeds=RowPool(rows, batch_size=4))
    source = rare.replace(target=torch.full((12,), 3))
    made = MajorToMinor(COUNTS, network(1), beta=0.0, gamma=0.0, search=search)(oracle(), source)
    found = changed(source, made)
    assert found.sum() >= 9
    assert bool(((made.inputs[found] - 7).norm(dim=1) <= 0.6 + 1e-5).all())


class Mixed(nn.Module):
    """Numbers and categories."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(WIDTH + 3, CLASSES)

    def forward(self, inputs):
        return self.head(torch.cat([inputs["numeric"], self.embedding(inputs["categorical"][:, 0])], 1))


def test_categories_are_those_of_the_seed():
    plain = batch(80)
    codes = (plain.target == 0).long()[:, None] * 4
    source = plain.replace(inputs={"numeric": plain.inputs, "categorical": codes})
    asked = oracle(model=Mixed())
    part = MajorToMinor([400, 3, 3, 3], Mixed(), beta=0.0, gamma=0.0)
    made = part(asked, source)
    moved = (made.inputs["numeric"] != plain.inputs).any(1)
    assert moved.sum() > 20
    assert bool((made.inputs["categorical"][moved] == 4).all())
    assert torch.equal(made.inputs["categorical"][~moved], codes[~moved])


def test_the_word_copies_the_model_at_the_switch_and_keeps_the_copy():
    part = MajorToMinor(COUNTS, beta=0.0, gamma=0.0)
    asked, source = oracle(), batch()
    asked.clock = Clock(epoch=7, epochs=10)
    assert part(asked, source) is source
    asked.clock = Clock(epoch=8, epochs=10)
    g = copy.deepcopy(asked.model)
    first = part(asked, source)
    with torch.no_grad():
        for parameter in asked.model.parameters():
            parameter.add_(0.3)
    made = part(asked, source)
    again = oracle(model=asked.model)
    MajorToMinor(COUNTS, g, beta=0.0, gamma=0.0)(again, source)  # draws what the first step drew
    wanted = MajorToMinor(COUNTS, g, beta=0.0, gamma=0.0)(again, source)
    torch.testing.assert_close(made.inputs, wanted.inputs)
    assert not torch.equal(first.inputs, made.inputs)


def test_a_saved_copy_is_taken_up():
    asked, source = oracle(), batch()
    asked.clock = Clock(epoch=8, epochs=10)
    part = MajorToMinor(COUNTS, beta=0.0, gamma=0.0)
    part(asked, source)
    file = io.BytesIO()
    torch.save(part.state_dict(), file)
    file.seek(0)
    other = MajorToMinor(COUNTS, beta=0.0, gamma=0.0)
    other.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        asked.model[4].weight.add_(1.0)
    state = asked.generator.get_state()
    one = part(asked, source)
    asked.generator.set_state(state)
    assert torch.equal(one.inputs, other(asked, source).inputs)


@pytest.mark.parametrize("own", [False, True], ids=["generator", "copy"])
def test_half_precision_finds_about_the_same_rows(own):
    source = batch(200)

    def found(precision: str) -> Batch:
        asked = oracle(precision=precision)
        asked.clock = Clock(epoch=9, epochs=10)
        return MajorToMinor(COUNTS, None if own else network(), beta=0.0, gamma=0.0)(asked, source)

    half, full = found("bfloat16"), found("float32")
    assert half.inputs.dtype == torch.float32
    assert bool(torch.isfinite(half.inputs).all())
    assert (half.inputs - full.inputs).abs().mean() < 0.05 * (full.inputs - source.inputs).abs().mean()


def test_ignored_rows_are_neither_changed_nor_seeds():
    share = torch.ones(40)
    share[::2] = 0.0  # classes 0 and 2
    source = batch(share=share)
    search = Search(steps=0, start=0.0)
    made = MajorToMinor(COUNTS, network(1), beta=0.0, gamma=0.0, search=search)(oracle(), source)
    found = changed(source, made)
    assert not found[::2].any()
    assert bool(found.any())
    assert all(any(torch.equal(row, seed) for seed in source.inputs[1::4]) for row in made.inputs[found])


def test_numbers_that_are_not_finite_are_never_taken():
    broken = network(1)
    with torch.no_grad():
        broken[4].bias.fill_(math.nan)
    source = batch()
    made = MajorToMinor(COUNTS, broken, beta=0.0, gamma=0.0)(oracle(), source)
    assert torch.equal(made.inputs, source.inputs)


def test_a_batch_of_one_row_or_none():
    part = MajorToMinor(COUNTS, network(1), beta=0.0, gamma=0.0)
    for rows in (0, 1):
        source = batch(rows)
        assert part(oracle(), source) is source


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"owner": torch.arange(40)}, "share inputs"),
        ({"extra": {"views": 2}}, "'views'"),
        ({"inputs": torch.zeros(40, 3, dtype=torch.uint8)}, "no floating-point numbers"),
    ],
)
def test_what_cannot_be_translated_is_refused_in_one_sentence(fields, says):
    with pytest.raises(CombinationError, match=says) as raised:
        MajorToMinor(COUNTS, network(1))(oracle(), batch().replace(**fields))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "argument"),
    [
        ({"beta": -0.1}, "beta"),
        ({"beta": 1.1}, "beta"),
        ({"beta": math.nan}, "beta"),
        ({"beta": 0.9, "half": 0.1}, "half"),
        ({"half": 0.0}, "half"),
        ({"gamma": -1.0}, "gamma"),
        ({"gamma": math.nan}, "gamma"),
        ({"after": 1.5}, "after"),
        ({"after": 0.0, "generator": None}, "after"),
        ({"class_counts": []}, "class_counts"),
    ],
)
def test_settings_out_of_range_are_named(settings, argument):
    with pytest.raises(ArgumentError) as raised:
        MajorToMinor(**({"class_counts": COUNTS, "generator": nn.Linear(2, CLASSES)} | settings))
    assert raised.value.argument == argument


def test_it_works_in_a_loop_written_by_hand():
    f, g = network(), network(1)
    asked = oracle(model=f)
    part = MajorToMinor(COUNTS, g, beta=0.0, gamma=0.0, search=Search(box=Box(-1.0, 1.0)))
    optimizer = torch.optim.SGD(f.parameters(), lr=0.1)
    for step in range(3):
        optimizer.zero_grad()
        asked(part(asked, batch(seed=step))).loss.backward()
        optimizer.step()
    assert all(bool(torch.isfinite(p).all()) for p in f.parameters())
