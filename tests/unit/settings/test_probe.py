from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from steelyard.core.errors import SteelyardError
from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.decisions import Adjusted, LogitShift
from steelyard.losses import Focal
from steelyard.samplers import PowerSampler
from steelyard.settings.probe import PROBE_COUNTS, ProbeTask, dry_run, slots_of, words_of
from steelyard.weightings import Deferred, InverseFrequency


def several(task: TaskView) -> Steps:
    """Two stages, looking at the model in between, and a decision."""
    model = yield Stage(Objective(Focal(gamma=2.0)))
    assert isinstance(model, nn.Module)
    fresh = task.model()
    again = yield Stage(sampler=partial(PowerSampler, power=0.25), model=fresh, epochs=3)
    assert again is fresh
    return Adjusted(again, LogitShift(task.counts))


def test_the_probe_is_a_task_like_any_other() -> None:
    task = ProbeTask()
    assert task.counts.tolist() == list(PROBE_COUNTS)
    index, inputs = next(iter(task.splits["train"].stream([torch.tensor([0, 70])])))
    assert index.tolist() == [0, 70]
    assert task.model()(inputs).shape == (2, 3)
    assert torch.equal(inputs, next(iter(ProbeTask().splits["train"].stream([index])))[1])


def test_a_dry_run_ends_without_training() -> None:
    run = dry_run(several)
    assert len(run.stages) == 2
    assert run.stages[1].epochs == 3
    assert isinstance(run.judged, Adjusted)
    assert run.judged.model is run.model


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    dry_run(several)
    assert torch.equal(torch.get_rng_state(), before)


def test_words_say_what_differs_from_the_identities() -> None:
    assert words_of(dry_run(several)) == {
        "loss": "focal (stage 1)",
        "sampler": "power(power=0.25) (stage 2)",
        "decision": "logit-shift",
        "stages": "2",
    }


def test_weightings_show_what_is_inside_them() -> None:
    stage = Stage(Objective(weighting=Deferred(InverseFrequency([3, 1]), after=0.5)))
    assert list(slots_of(stage)) == ["weighting"]

    def method(task: TaskView) -> Steps:
        yield stage

    assert words_of(dry_run(method)) == {"weighting": "deferred(inverse-frequency)"}


def no_generator(task: TaskView) -> Any:
    """Forgot to yield."""
    return Stage()


def no_stage(task: TaskView) -> Steps:
    """Yields nothing."""
    yield from ()


def something_else(task: TaskView) -> Any:
    """Yields a loss."""
    yield Focal()


def endless(task: TaskView) -> Steps:
    """Does not end."""
    while True:
        yield Stage()


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (no_generator, "'no_generator' should be a generator function that yields stages; it returned Stage"),
        (no_stage, "'no_stage' yields no stage"),
        (something_else, "'something_else' yielded Focal"),
        (endless, "'endless' yields more than 100 stages"),
    ],
)
def test_what_is_no_method_is_said_in_a_sentence(method: Any, says: str) -> None:
    with pytest.raises(SteelyardError) as caught:
        dry_run(method)
    assert says in str(caught.value)
