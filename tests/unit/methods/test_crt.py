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
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.task import Task, TaskView
from steelyard.methods.ce import ce
from steelyard.methods.crt import crt
from steelyard.nets import FrozenStatistics

SHORT = partial(crt, head_epochs=3)
MOVING = partial(crt, head_epochs=3, freeze_statistics=False)


def statistics(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state_without(model).items() if is_statistic(name)}


@pytest.mark.parametrize(
    "regime", [REGIME, REGIME.replace(ema=0.8), REGIME.replace(precision="bfloat16")], ids=["plain", "ema", "bf16"]
)
@pytest.mark.parametrize("method", [SHORT, MOVING], ids=["frozen", "moving"])
def test_stage_2_trains_the_classifier_and_nothing_else(method: Callable[..., object], regime: Regime) -> None:
    plain, fitted = fit(Blobs(), ce, regime, device="cpu").model, fit(Blobs(), method, regime, device="cpu").model
    body, trained = state_without(plain, "4."), state_without(fitted, "4.")
    kept = [name for name in body if not is_statistic(name)]
    assert kept
    assert all(torch.equal(body[name], trained[name]) for name in kept)
    assert not torch.equal(plain[4].weight, fitted[4].weight)
    assert not torch.equal(plain[4].bias, fitted[4].bias)


@pytest.mark.parametrize("valid", [True, False])
def test_frozen_statistics_stay_those_of_stage_1(valid: bool) -> None:
    task = Blobs(valid=valid)
    assert equal(
        statistics(fit(task, ce, REGIME, device="cpu").model), statistics(fit(task, SHORT, REGIME, device="cpu").model)
    )


def test_on_request_statistics_move() -> None:
    before = statistics(fit(Blobs(), ce, REGIME, device="cpu").model)
    after = statistics(fit(Blobs(), MOVING, REGIME, device="cpu").model)
    assert after["1.num_batches_tracked"] == before["1.num_batches_tracked"] + 3 * 6
    assert not torch.equal(before["1.running_mean"], after["1.running_mean"])
    assert not torch.equal(before["1.running_var"], after["1.running_var"])


def test_statistics_are_frozen_in_every_step_of_stage_2_also_after_measuring() -> None:
    seen = Starts()
    fit(Blobs(), SHORT, REGIME, listeners=[seen], device="cpu")
    second = seen.modes[4 * 6 :]
    assert len(second) == 3 * 6
    assert all(mode["model.1"] is False and mode["model.3"] and mode["model.4"] for mode in second)
    assert all(mode["1"] for mode in seen.modes[: 4 * 6])


def test_the_classifier_is_drawn_anew() -> None:
    seen = Starts()
    fit(Blobs(), SHORT, REGIME, listeners=[seen], device="cpu")
    plain, start = fit(Blobs(), ce, REGIME, device="cpu").model, TaskView(Blobs()).model()
    first, second = seen.states
    assert torch.equal(first["4.weight"], start[4].weight)
    for other in (plain[4].weight, start[4].weight):
        assert not (second["model.4.weight"] == other).any()
    assert second["model.4.weight"].abs().max() <= 8**-0.5  # torch's own draw
    again = Starts()
    fit(Blobs(), SHORT, REGIME, listeners=[again], device="cpu")
    assert equal(second, again.states[1])
    other = Starts()
    fit(Blobs(), SHORT, REGIME, seed=1, listeners=[other], device="cpu")
    assert not torch.equal(second["model.4.weight"], other.states[1]["model.4.weight"])


def test_stage_2_draws_every_class_equally_often() -> None:
    seen = Drawn()
    fit(Blobs(counts=(300, 60, 12)), partial(crt, head_epochs=4), Regime(epochs=2, batch_size=32), listeners=[seen])
    assert [len(rows) for rows in seen.epochs] == [372] * 6
    assert all(sorted(rows) == list(range(372)) for rows in seen.epochs[:2])
    target = torch.repeat_interleave(torch.arange(3), torch.tensor([300, 60, 12]))
    drawn = torch.bincount(target[torch.tensor(seen.epochs[2:]).flatten()], minlength=3) / (4 * 372)
    assert torch.allclose(drawn, torch.full((3,), 1 / 3), atol=0.06)


@pytest.mark.parametrize("method", [SHORT, MOVING], ids=["frozen", "moving"])
@pytest.mark.parametrize("steps", [(4 * 6 + 1,), (9, 4 * 6 + 8 - 9, 3)], ids=str)
def test_resuming_in_either_stage_ends_with_the_same_bits(
    tmp_path: Path, method: Callable[..., object], steps: tuple[int, ...]
) -> None:
    whole = fit(Blobs(), method, REGIME, device="cpu")
    for number in steps:
        interrupted(Blobs(), method, tmp_path, number)
    resumed = fit(Blobs(), method, REGIME, folder=tmp_path, device="cpu")
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)
    assert same_weights(whole.use("best_valid"), resumed.use("best_valid"))


def test_the_plain_model_is_judged_and_the_best_epoch_is_one_of_stage_2() -> None:
    fitted = fit(Blobs(), SHORT, REGIME, device="cpu")
    assert type(fitted.model) is nn.Sequential
    assert not any(isinstance(module, FrozenStatistics) for module in fitted.model.modules())
    assert [line["stage"] for line in fitted.history] == [0] * 4 + [1] * 3
    assert fitted.selected_epoch is not None
    assert 1 <= fitted.selected_epoch <= 3
    scores = [line["valid_balanced_accuracy"] for line in fitted.history[4:]]
    assert fitted.selected_epoch == 1 + scores.index(max(scores))


@pytest.mark.parametrize("task", [table, small_cnn, resnet32, cosine_cnn], ids=lambda make: make.__name__)
@pytest.mark.parametrize("freeze", [True, False])
def test_models_of_every_kind(task: Callable[[], Task], freeze: bool) -> None:
    method = partial(crt, head_epochs=1, freeze_statistics=freeze)
    fitted = fit(task(), method, Regime(epochs=1, batch_size=32, lr=0.01), device="cpu")
    assert all(torch.isfinite(value).all() for value in fitted.model.state_dict().values())
    assert all(parameter.requires_grad for parameter in fitted.model.parameters())


def test_models_without_a_classifier_are_refused_before_training() -> None:
    steps = crt(TaskView(headless()))
    with pytest.raises(CombinationError, match="Sequential, the model of 'blobs', has no linear layer"):
        next(steps)


def test_a_last_linear_layer_that_is_no_classifier_is_refused() -> None:
    class Auxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.auxiliary = nn.Linear(4, 3), nn.Linear(4, 7)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.head(inputs)

    with pytest.raises(CombinationError, match=r"'auxiliary'.*7 outputs for the 3 classes"):
        next(crt(TaskView(Blobs(build=Auxiliary))))


def test_a_stage_of_no_epochs_is_refused() -> None:
    with pytest.raises(ArgumentError, match="head_epochs"):
        next(crt(TaskView(Blobs()), head_epochs=0))
