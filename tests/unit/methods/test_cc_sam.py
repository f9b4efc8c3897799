"""CC-SAM: what its second stage trains, from where it goes on, and how it is left out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from staged import (
    REGIME,
    Drawn,
    Starts,
    cosine_cnn,
    equal,
    headless,
    interrupted,
    is_statistic,
    resnet32,
    small_cnn,
    state_without,
    table,
)
from tiny import Blobs, numbers, same_weights
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.fit import Fitted, fit
from steelyard.core.regime import Regime
from steelyard.core.rows import Clock
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import Task, TaskView
from steelyard.descents import AdversarialFeatures
from steelyard.methods.cc_sam import cc_sam
from steelyard.nets import FrozenStatistics, head_parameters
from steelyard.samplers import BalancedSampler
from steelyard.settings import describe_method, dry_run, resolve_method

ONE = partial(cc_sam, head_epochs=0)
TWO = partial(cc_sam, head_epochs=3)
MOVING = partial(cc_sam, head_epochs=3, freeze_statistics=False)


def trained(method: Callable[..., Steps], regime: Regime = REGIME, task: Task | None = None) -> Fitted:
    return fit(Blobs() if task is None else task, method, regime, device="cpu")


@pytest.mark.parametrize(
    "regime", [REGIME, REGIME.replace(ema=0.8), REGIME.replace(precision="bfloat16")], ids=["plain", "ema", "bf16"]
)
def test_stage_2_trains_the_classifier_and_keeps_every_bit_of_the_rest(regime: Regime) -> None:
    first, second = trained(ONE, regime).model, trained(TWO, regime).model
    assert equal(state_without(first, "4."), state_without(second, "4."))  # with BatchNorm's statistics
    assert not torch.equal(first[4].weight, second[4].weight)
    assert not torch.equal(first[4].bias, second[4].bias)
    assert type(second) is nn.Sequential


def test_on_request_statistics_move_and_nothing_else() -> None:
    first, second = (state_without(trained(method).model, "4.") for method in (ONE, MOVING))
    assert all(torch.equal(first[name], second[name]) is not is_statistic(name) for name in first)
    assert any(map(is_statistic, first))


def test_stage_2_goes_on_from_the_last_classifier_of_stage_1() -> None:
    seen = Starts()
    fit(Blobs(), TWO, REGIME, listeners=[seen], device="cpu")
    _, second = seen.states
    first = trained(ONE).model.state_dict()
    assert all(torch.equal(value, first[name.removeprefix("model.")]) for name, value in second.items())


def test_stage_2_draws_every_class_equally_often() -> None:
    seen = Drawn()
    method = partial(cc_sam, head_epochs=4)
    fit(Blobs(counts=(300, 60, 12)), method, Regime(epochs=2, batch_size=32), listeners=[seen], device="cpu")
    target = torch.repeat_interleave(torch.arange(3), torch.tensor([300, 60, 12]))
    drawn = torch.bincount(target[torch.tensor(seen.epochs[2:]).flatten()], minlength=3) / (4 * 372)
    assert torch.allclose(drawn, torch.full((3,), 1 / 3), atol=0.06)


def test_without_a_second_loss_stage_2_is_plain_training_of_the_classifier() -> None:
    def plainly(task: TaskView) -> Steps:
        steps = ONE(task)
        model = yield next(steps)
        held = FrozenStatistics(model)
        yield Stage(sampler=BalancedSampler, trainable=head_parameters, epochs=3, model=held)
        return model

    expected = trained(plainly)
    for settings in ({"limit": 0.0}, {"reach": 0.0, "weigh": False}):
        found = trained(partial(TWO, **settings))
        assert same_weights(found.model, expected.model)
        assert numbers(found.history) == numbers(expected.history)
    assert not same_weights(trained(TWO).model, expected.model)


def test_settings_reach_the_descents() -> None:
    method = partial(TWO, flat=0.3, noise=0.1, norm="tensor", reach=2.0, limit=0.4, per="class", weigh=False)
    first, second = (stage.descent for stage in dry_run(method).stages)
    assert repr(first) == "ClassConditionalSAM(flat=0.3, noise=0.1, norm=tensor)"
    assert repr(second) == "AdversarialFeatures(reach=2, limit=0.4, per=class, weigh=False)"
    assert isinstance(second, AdversarialFeatures)
    assert second.share_at(Clock(epoch=0, epochs=3)) == pytest.approx(1 / 3)


@pytest.mark.parametrize("steps", [(4 * 6 + 1,), (9, 4 * 6 + 8 - 9, 3)], ids=str)
def test_resuming_in_either_stage_ends_with_the_same_bits(tmp_path: Path, steps: tuple[int, ...]) -> None:
    whole = trained(TWO)
    for number in steps:
        interrupted(Blobs(), TWO, tmp_path, number)
    resumed = fit(Blobs(), TWO, REGIME, folder=tmp_path, device="cpu")
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)


@pytest.mark.parametrize("task", [table, small_cnn, resnet32, cosine_cnn], ids=lambda make: make.__name__)
@pytest.mark.parametrize("per", ["row", "class"])
def test_models_of_every_kind(task: Callable[[], Task], per: str) -> None:
    model = trained(partial(cc_sam, head_epochs=1, per=per), Regime(epochs=1, batch_size=32, lr=0.01), task()).model
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_one_stage_combines_and_two_are_refused() -> None:
    assert describe_method("la+cc-sam(head_epochs=0)").words == {
        "loss": "logit-adjusted",
        "descent": "class-conditional-sam",
    }
    assert describe_method("posthoc-la+cc-sam(head_epochs=0)").words["decision"] == "logit-shift"
    trained(resolve_method("posthoc-la+cc-sam(head_epochs=0)"), REGIME.replace(epochs=1))
    with pytest.raises(CombinationError, match="'cc-sam' trains in several stages"):
        resolve_method("la+cc-sam")


@pytest.mark.parametrize(
    "text",
    [
        "sampler=balanced transform=mixup descent=adversarial-features(reach=2,per=class)",
        "drs+descent=adversarial-features(weigh=false)",
        "two-stage(first=cc-sam(head_epochs=0),second=balanced-sampling+descent=adversarial-features)",
    ],
)
def test_adversarial_features_in_other_company(text: str) -> None:
    fitted = trained(resolve_method(text), REGIME.replace(epochs=12))
    assert fitted.history[-1]["valid_balanced_accuracy"] > 0.5


def test_what_cannot_be_is_refused_before_training() -> None:
    with pytest.raises(CombinationError, match=r"CC-SAM perturbs the classifier.*has no linear layer"):
        next(cc_sam(TaskView(headless())))
    for settings, named in (({"head_epochs": -1}, "head_epochs"), ({"limit": 2.0}, "limit"), ({"reach": -1.0}, "reach")):
        with pytest.raises(ArgumentError, match=f"`{named}`"):
            next(cc_sam(TaskView(Blobs()), **settings))
