"""What every transform promises, collected over all public ones."""

import inspect

import pytest
import torch
from torch import nn

import steelyard.transforms
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Rows
from steelyard.core.seeds import generator

CLASSES, FIRST = 4, 50

# How to make each; a new transform that takes arguments without defaults adds itself here.
MADE = {name: getattr(steelyard.transforms, name) for name in steelyard.transforms.__all__}
ARGUMENTS = {
    "MajorToMinor": {"class_counts": [300, 90, 20, 4], "generator": nn.Linear(5, CLASSES), "beta": 0.9, "gamma": 0.2},
    "Remix": {"class_counts": [300, 90, 20, 4]},
}
CASES = {name: made(**ARGUMENTS.get(name, {})) if inspect.isclass(made) else made for name, made in MADE.items()}
# Settings at which a transform is declared to change nothing.
LIMITS = {
    "Mixup": {"alpha": 0},
    "MajorToMinor": {"class_counts": [7] * CLASSES, "generator": nn.Linear(5, CLASSES)},
    "Remix": {"class_counts": [300, 90, 20, 4], "alpha": 0},
    "CutMix": {"probability": 0},
    "RandomOversample": {"ratio": 0},
}
# Transforms that add inputs without a label, behind those that have one.
UNLABELLED = {"TwoViews"}
# Transforms of images; the others are given a table.
OF_IMAGES = {"CutMix"}

every_transform = pytest.mark.parametrize("transform", CASES.values(), ids=CASES)


def oracle(seed: int = 0) -> Oracle:
    def forward(model: nn.Module, batch: Batch) -> Rows:
        logits = model(batch.inputs.mean((2, 3)) if batch.inputs.ndim == 4 else batch.inputs)
        return Rows(logits if batch.owner is None else logits[batch.owner], batch.target, share=batch.share)

    torch.manual_seed(0)
    return Oracle(nn.Linear(5, CLASSES), forward, Objective(), draws=generator(seed, "draws"))


def batch(rows: int = 12) -> Batch:
    stream = generator(0, "batch")
    inputs = torch.randn(rows, 5, generator=stream)
    return Batch(inputs, torch.randint(CLASSES, (rows,), generator=stream), torch.arange(FIRST, FIRST + rows))


def suited(transform, rows: int = 12) -> Batch:
    source = batch(rows)
    if type(transform).__name__ not in OF_IMAGES:
        return source
    return source.replace(inputs=torch.randn(rows, 5, 6, 4, generator=generator(0, "images")))


def fields(value: Batch) -> dict[str, torch.Tensor | None]:
    return {name: getattr(value, name) for name in ("inputs", "target", "index", "owner", "share")}


def equal(one: Batch, two: Batch) -> bool:
    pairs = zip(fields(one).values(), fields(two).values(), strict=True)
    return all((a is None and b is None) or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)


@every_transform
@pytest.mark.parametrize("rows", [1, 2, 12])
def test_rows_belong_to_inputs_and_shares_add_up_to_them(transform, rows):
    made = transform(oracle(), suited(transform, rows))
    size, count = len(made.inputs), len(made.target)
    assert made.index.shape == (count,)
    assert made.target.dtype == made.index.dtype == torch.int64
    owner = torch.arange(size) if made.owner is None else made.owner
    share = torch.ones(count) if made.share is None else made.share
    assert owner.shape == share.shape == (count,)
    assert bool((share >= 0).all())
    labelled = torch.ones(size)
    if type(transform).__name__ in UNLABELLED:
        labelled[rows:] = 0
    torch.testing.assert_close(torch.zeros(size).index_add_(0, owner, share), labelled)


@every_transform
def test_index_and_target_stay_together(transform):
    source = suited(transform)
    made = transform(oracle(), source)
    assert torch.equal(made.target, source.target[made.index - FIRST])


@every_transform
def test_source_is_left_alone(transform):
    source = suited(transform)
    before = {name: None if value is None else value.clone() for name, value in fields(source).items()}
    made = transform(oracle(), source)
    if made.inputs is not source.inputs:
        made.inputs.fill_(7.0)
    for name, value in fields(source).items():
        assert (value is None and before[name] is None) or torch.equal(value, before[name]), name


@every_transform
def test_same_stream_same_batch_and_no_global_draws(transform):
    state = torch.get_rng_state()
    asked = [oracle(), oracle()]
    torch.set_rng_state(state)
    one, two = (transform(each, suited(transform)) for each in asked)
    assert equal(one, two)
    assert torch.equal(state, torch.get_rng_state())


@every_transform
def test_model_is_left_alone(transform):
    asked = oracle()
    before = {name: value.clone() for name, value in asked.model.state_dict().items()}
    transform(asked, suited(transform))
    assert all(torch.equal(value, before[name]) for name, value in asked.model.state_dict().items())
    assert all(p.grad is None for p in asked.model.parameters())


@every_transform
def test_objective_of_the_new_batch_is_finite_and_has_gradients(transform):
    asked = oracle()
    loss = asked(transform(asked, suited(transform))).loss
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert all(bool(p.grad.isfinite().all()) for p in asked.model.parameters())


@pytest.mark.parametrize("name", LIMITS)
def test_declared_limit_is_the_identity(name):
    source = batch()
    assert equal(MADE[name](**LIMITS[name])(oracle(), source), source)
