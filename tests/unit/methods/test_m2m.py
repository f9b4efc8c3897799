"""M2m as a method: what it equals, what it trains, and that a run goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from staged import headless, interrupted, small_cnn, table
from tiny import Blobs, numbers, same_weights
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.roles import Prepares
from steelyard.core.stage import Stage
from steelyard.core.task import Task, TaskView
from steelyard.data import ResidentSource
from steelyard.settings import dry_run, resolve_method
from steelyard.transforms import MajorToMinor

REGIME = Regime(epochs=5, batch_size=32, lr=0.05)


def trained(text: str, task: Task | None = None, regime: Regime = REGIME, **settings):
    return fit(Blobs() if task is None else task, resolve_method(text), regime, device="cpu", **settings)


class Kept(Prepares):
    """Keeps the inputs of every step, by stage."""

    def __init__(self) -> None:
        self.stages: list[list[torch.Tensor]] = []
        self._step = -1

    def prepare(self, oracle, batch) -> None:
        if oracle.clock.step <= self._step or self._step < 0:
            self.stages.append([])
        self._step = oracle.clock.step
        self.stages[-1].append(batch.inputs.clone())


@pytest.mark.parametrize("limit", ["gamma=1.5", "beta=1.0"])
def test_without_taken_rows_it_is_deferred_sampling_bit_for_bit(limit: str) -> None:
    one, other = trained(f"m2m(generator=switch,{limit})"), trained("drs")
    assert same_weights(one.model, other.model)
    assert numbers(one.history) == numbers(other.history)


def test_equal_counts_make_it_deferred_sampling_bit_for_bit() -> None:
    one, other = (trained(text, Blobs(counts=(20, 20, 20))) for text in ("m2m(generator=switch)", "drs"))
    assert same_weights(one.model, other.model)


def test_before_the_switch_it_is_plain_training() -> None:
    lines = [
        [line["train_loss"] for line in trained(text).history] for text in ("m2m(generator=switch,gamma=0.2,beta=0)", "drs")
    ]
    assert lines[0][:4] == lines[1][:4]
    assert lines[0][4] != lines[1][4]


def test_rows_are_translated_after_the_switch_alone() -> None:
    known = {tuple(row) for row in Blobs().splits["train"].inputs.tolist()}  # type: ignore[attr-defined]
    spy = Kept()
    trained("m2m(gamma=0,beta=0)", listeners=[spy])
    assert len(spy.stages) == 2
    fresh = [[tuple(row) not in known for row in torch.cat(stage).tolist()] for stage in spy.stages]
    assert not any(fresh[0])
    assert not any(fresh[1][: 4 * 94])  # 94 rows, 4 of 5 epochs
    assert sum(fresh[1][4 * 94 :]) > 10


def test_translated_rows_stay_within_the_training_data() -> None:
    train = Blobs().splits["train"].inputs  # type: ignore[attr-defined]
    spy = Kept()
    trained("m2m(gamma=0,beta=0,after=0,steps=30,step_size=1.0)", listeners=[spy])
    seen = torch.cat(spy.stages[1])
    assert bool((seen >= train.amin(0) - 1e-6).all() and (seen <= train.amax(0) + 1e-6).all())
    assert (seen == train.amax(0)).any()


def test_the_generator_is_what_the_first_stage_trained_and_stays_so() -> None:
    view = TaskView(Blobs())
    steps = resolve_method("m2m")(view)
    first = next(steps)
    assert first.model is None
    model = view.model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    second = steps.send(model)
    assert isinstance(second, Stage)
    assert isinstance(second.transform, MajorToMinor)
    assert second.transform.generator is model
    assert not any(p.requires_grad for p in model.parameters())
    assert same_weights(second.model, view.model())
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def second_stage_alone(task):
        yield second

    fit(Blobs(), second_stage_alone, REGIME.replace(epochs=6), device="cpu")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_lengths_on_images_are_those_of_pixels() -> None:
    run = dry_run(resolve_method("m2m"), small_cnn())
    box = run.stages[1].transform.search.box
    inputs = small_cnn().splits["train"].inputs
    assert bool((box.low == inputs.min()).all() and (box.high == inputs.max()).all())
    assert bool((box.unit == inputs.max() - inputs.min()).all())
    table_box = dry_run(resolve_method("m2m"), table()).stages[1].transform.search.box
    assert bool((table_box.unit == 1).all())


@pytest.mark.parametrize("made", [small_cnn, table, headless], ids=["images", "table", "no head"])
@pytest.mark.parametrize("text", ["m2m(gamma=0.1,beta=0,after=0)", "m2m(generator=switch,gamma=0.1,beta=0,after=0.5,seeds=8)"])
def test_it_trains_on_every_kind_of_inputs(made, text) -> None:
    fitted = trained(text, made(), REGIME.replace(epochs=2))
    assert all(bool(torch.isfinite(value).all()) for value in fitted.model.state_dict().values())


def test_half_precision_trains() -> None:
    fitted = trained("m2m(gamma=0.1,beta=0,after=0)", regime=REGIME.replace(precision="bfloat16", epochs=2))
    assert all(bool(torch.isfinite(value).all()) for value in fitted.model.state_dict().values())


@pytest.mark.parametrize(
    ("text", "stops"),
    [
        ("m2m(gamma=0.2,beta=0)", (4, 24, 1)),
        ("m2m(generator=switch,gamma=0.2,beta=0)", (10, 3, 1)),
        ("m2m(generator=switch,gamma=0.2,beta=0,seeds=8)", (13, 1)),
    ],
)
def test_resuming_ends_with_the_same_bits(text: str, stops: tuple[int, ...], tmp_path: Path) -> None:
    """15 steps a stage, of which the last 3 translate."""
    method = resolve_method(text)
    whole = fit(Blobs(), method, REGIME, device="cpu")
    for steps in stops:
        interrupted(Blobs(), method, tmp_path, steps, REGIME)
    resumed = fit(Blobs(), method, REGIME, folder=tmp_path, device="cpu")
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)


def test_categories_alone_are_refused_in_one_sentence() -> None:
    task = Blobs(build=lambda: nn.Linear(4, 3))
    train = task.splits["train"]
    task.splits["train"] = ResidentSource({"categorical": torch.ones(len(train), 2).long()}, train.target)
    with pytest.raises(CombinationError, match="no floating-point numbers") as raised:
        dry_run(resolve_method("m2m"), task)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("m2m(seeds=-1)", "seeds"),
        ("m2m(after=2)", "after"),
        ("m2m(generator=switch,after=0)", "after"),
        ("m2m(steps=-1)", "steps"),
        ("m2m(lam=-1)", "lam"),
        ("m2m(half=0)", "half"),
    ],
)
def test_settings_out_of_range_are_named(text: str, argument: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        dry_run(resolve_method(text))
    assert raised.value.argument == argument


def test_the_word_alone_combines_with_a_sampler_and_a_loss() -> None:
    fitted = trained("la transform=major-to-minor(beta=0.0,gamma=0.0,after=0.5)")
    assert not same_weights(fitted.model, trained("la").model)
