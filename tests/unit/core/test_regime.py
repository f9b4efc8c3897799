from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ending import Bomb, Interrupt
from hypothesis import given
from hypothesis import strategies as st
from tiny import Blobs, ce, same_weights
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime, clip
from steelyard.core.task import TaskView


def test_cosine_is_torch_s() -> None:
    regime = Regime(epochs=5, lr=0.3)
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    for step in range(50):
        assert regime.lr_at(step, 10) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()


def test_step_schedule_drops_at_the_milestones() -> None:
    """LDAM's schedule: x 0.01 after 160 of 200 epochs, x 0.0001 after 180, five epochs of warm-up."""
    regime = Regime(epochs=200, lr=0.1, schedule="step", decay=0.01, milestones=(0.8, 0.9), warmup_epochs=5)
    at = {epoch: regime.lr_at(epoch * 97, 97) for epoch in (0, 4, 5, 159, 160, 179, 180, 199)}
    assert at[0] == pytest.approx(0.1 / (5 * 97))
    assert at[4] < at[5] == at[159] == pytest.approx(0.1)
    assert at[160] == at[179] == pytest.approx(1e-3)
    assert at[180] == at[199] == pytest.approx(1e-5)


@given(st.sampled_from(["cosine", "step", "constant"]), st.integers(1, 20), st.integers(1, 20), st.floats(0, 30))
def test_rates_stay_between_zero_and_the_peak(schedule: str, epochs: int, steps: int, warm: float) -> None:
    regime = Regime(epochs=epochs, lr=0.5, schedule=schedule, warmup_epochs=warm)
    rates = [regime.lr_at(step, steps) for step in range(epochs * steps)]
    assert all(0 < rate <= 0.5 + 1e-12 or math.isclose(rate, 0, abs_tol=1e-9) for rate in rates)


def test_a_stage_s_own_length_stretches_the_schedule() -> None:
    assert Regime(epochs=100).lr_at(5, 1, epochs=10) == Regime(epochs=10).lr_at(5, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("optimizer", "adamm"),
        ("lr", 0.0),
        ("lr", -1.0),
        ("lr", math.nan),
        ("lr", math.inf),
        ("momentum", 1.0),
        ("weight_decay", -1e-4),
        ("schedule", "cos"),
        ("warmup_epochs", -1.0),
        ("milestones", (0.5, 1.5)),
        ("decay", 0.0),
        ("clip_norm", 0.0),
        ("ema", 1.0),
        ("precision", "float16"),
        ("patience", 0),
        ("select", "best_test"),
        ("decayed", "head"),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: object) -> None:
    with pytest.raises(ArgumentError, match=f"regime.{name}"):
        Regime(**{name: value})


def test_optimisers_are_torch_s() -> None:
    for name, kind in (("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)):
        optimizer = Regime(optimizer=name, lr=0.2, weight_decay=0.01).build_optimizer(
            [nn.Parameter(torch.zeros(2))], torch.device("cpu")
        )
        assert isinstance(optimizer, kind)
        assert optimizer.param_groups[0]["weight_decay"] == 0.01


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_weight_decay_may_leave_the_classifier_out(name: str) -> None:
    layers = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    regime = Regime(optimizer=name, lr=0.5, momentum=0.0, weight_decay=0.1, decayed="body")
    optimizer = regime.build_optimizer(layers.parameters(), torch.device("cpu"), layers[1].parameters())
    before = [parameter.detach().clone() for parameter in layers.parameters()]
    for parameter in layers.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moved = [not torch.equal(parameter, old) for parameter, old in zip(layers.parameters(), before, strict=True)]
    assert moved == [True, True, False, False]
    if name != "adam":  # whose step has the length of the rate
        torch.testing.assert_close(layers[0].weight, before[0] * (1 - 0.5 * 0.1))


def test_where_all_are_decayed_the_optimizer_is_as_before() -> None:
    layers = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    optimizer = Regime().build_optimizer(layers.parameters(), torch.device("cpu"), layers[1].parameters())
    assert [len(group["params"]) for group in optimizer.param_groups] == [4]
    assert "decayed" not in Regime().settings()
    assert Regime(decayed="body").settings()["decayed"] == "body"


def test_only_a_classifier_may_be_trained_without_decay() -> None:
    layers = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    regime = Regime(decayed="body", weight_decay=0.1)
    optimizer = regime.build_optimizer(layers[1].parameters(), torch.device("cpu"), layers[1].parameters())
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0]


def test_clipping_keeps_the_direction() -> None:
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([3.0, 0.0, 4.0])
    clip([parameter], 1.0)
    torch.testing.assert_close(parameter.grad, torch.tensor([0.6, 0.0, 0.8]), rtol=1e-5, atol=1e-6)
    clip([parameter], None)
    assert parameter.grad.norm() == pytest.approx(1, rel=1e-5)


def test_settings_are_json_values() -> None:
    assert Regime().settings()["milestones"] == [0.8, 0.9]


def test_numbers_of_any_type_are_taken_and_others_named() -> None:
    odd = Regime(epochs=np.int64(3), batch_size=np.int32(8), lr=np.float32(0.5), milestones=[np.float64(0.5)], clip_norm=1)
    assert json.dumps(odd.settings()) == json.dumps(
        Regime(epochs=3, batch_size=8, lr=0.5, milestones=(0.5,), clip_norm=1.0).settings()
    )
    for name, value in {"epochs": 2.5, "batch_size": "8", "lr": "0.1", "patience": 1.5, "milestones": 0.5, "lr ": None}.items():
        with pytest.raises(ArgumentError, match=f"regime.{name.strip()}"):
            Regime(**{name.strip(): value})  # type: ignore[arg-type]


def test_clipping_has_the_bits_of_torch() -> None:
    stream = torch.Generator().manual_seed(0)
    both = [[nn.Parameter(torch.zeros(shape)) for shape in ((3, 4), (7,), (2, 2, 2))] for _ in range(2)]
    for ours, theirs in zip(*both, strict=True):
        ours.grad = torch.randn(ours.shape, generator=stream)
        theirs.grad = ours.grad.clone()
    clip(both[0], 0.7)
    torch.nn.utils.clip_grad_norm_(both[1], 0.7)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(*both, strict=True))  # type: ignore[arg-type]


def test_weight_decay_without_the_classifier_is_the_loop_one_would_write() -> None:
    build = lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))  # noqa: E731
    task = Blobs(build=build, valid=False)
    rows = task.splits["train"]
    regime = Regime(epochs=5, batch_size=len(rows), optimizer="adam", lr=0.01, schedule="constant", weight_decay=0.5)
    fitted = fit(task, ce, regime.replace(decayed="body"))
    model = TaskView(task).model()
    groups = [{"params": model[0].parameters(), "weight_decay": 0.5}, {"params": model[2].parameters()}]  # type: ignore[index]
    optimizer = torch.optim.Adam(groups, lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(model(rows.inputs), rows.target).backward()
        optimizer.step()
    for mine, yours in zip(model.parameters(), fitted.model.parameters(), strict=True):
        torch.testing.assert_close(mine, yours, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(fitted.model[2].weight, fit(task, ce, regime).model[2].weight)  # type: ignore[index]


def test_leaving_out_a_classifier_takes_one() -> None:
    with pytest.raises(ArgumentError, match=r"regime\.decayed.*no linear layer"):
        fit(Blobs(build=lambda: nn.Bilinear(4, 4, 3), valid=False), ce, Regime(epochs=1, decayed="body"))


def test_a_run_with_two_groups_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    regime = Regime(epochs=4, batch_size=16, lr=0.05, decayed="body", weight_decay=0.1)
    whole = fit(Blobs(), ce, regime)
    with pytest.raises(Interrupt):
        fit(Blobs(), ce, regime, folder=tmp_path, listeners=[Bomb(9)], checkpoint_seconds=0.0)
    assert same_weights(fit(Blobs(), ce, regime, folder=tmp_path).model, whole.model)
