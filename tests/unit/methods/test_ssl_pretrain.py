from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from staged import REGIME, Starts, equal, headless, interrupted, small_cnn, table
from tiny import Blobs, Held, numbers, same_weights

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.task import Task, TaskView
from steelyard.decisions import LogitShift
from steelyard.methods.ssl_pretrain import ssl_pretrain


def features_after_stage_1(task: Task, term: str = "nt-xent") -> dict[str, torch.Tensor]:
    seen = Starts()
    fit(task, partial(ssl_pretrain, term=term), Regime(epochs=2, batch_size=16, lr=0.05), listeners=[seen], device="cpu")
    return seen.states[1]


@pytest.mark.parametrize("term", ["nt-xent", "vicreg"])
def test_labels_do_not_enter_stage_1(term: str) -> None:
    task, other = Blobs(counts=(30, 30, 34), valid=False), Blobs(counts=(30, 30, 34), valid=False)
    rows = other.splits["train"]
    other.splits["train"] = Held(rows.inputs, rows.target.flip(0))
    assert equal(features_after_stage_1(task, term), features_after_stage_1(other, term))


def test_stage_1_trains_the_features_and_leaves_the_classifier() -> None:
    start, after = TaskView(Blobs()).model().state_dict(), features_after_stage_1(Blobs())
    same = {name for name in start if torch.equal(start[name], after[name])}
    assert same == {"4.weight", "4.bias"}
    assert torch.isfinite(after["0.weight"]).all()


def test_lengths_and_what_is_judged() -> None:
    fitted = fit(Blobs(), partial(ssl_pretrain, pretrain_epochs=2, second="posthoc-la"), REGIME, device="cpu")
    assert [line["stage"] for line in fitted.history] == [0] * 2 + [1] * 4
    assert isinstance(fitted.model.decision, LogitShift)


def test_the_self_supervised_loss_falls() -> None:
    fitted = fit(Blobs(), partial(ssl_pretrain, pretrain_epochs=15), REGIME, device="cpu")
    losses = [line["train_loss"] for line in fitted.history[:15]]
    assert losses[-1] < losses[0]


def test_resuming_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = fit(Blobs(), ssl_pretrain, REGIME, device="cpu")
    for steps in (9, 25):
        interrupted(Blobs(), ssl_pretrain, tmp_path, steps)
    resumed = fit(Blobs(), ssl_pretrain, REGIME, folder=tmp_path, device="cpu")
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)


@pytest.mark.parametrize("task", [table, small_cnn], ids=lambda make: make.__name__)
def test_models_of_every_kind(task: Callable[[], Task]) -> None:
    fitted = fit(task(), ssl_pretrain, Regime(epochs=1, batch_size=32, lr=0.01), device="cpu")
    assert all(torch.isfinite(value).all() for value in fitted.model.state_dict().values())


def test_what_cannot_be_is_refused_before_training() -> None:
    for task, settings, reason in (
        (headless(), {}, "no linear layer"),
        (Blobs(), {"second": "ldam"}, "model of its own"),
        (Blobs(), {"second": "crt"}, "several"),
    ):
        with pytest.raises(CombinationError, match=reason):
            next(ssl_pretrain(TaskView(task), **settings))
    with pytest.raises(ArgumentError, match="pretrain_epochs"):
        next(ssl_pretrain(TaskView(Blobs()), pretrain_epochs=0))
    with pytest.raises(ArgumentError, match="`term`"):
        next(ssl_pretrain(TaskView(Blobs()), term="simclr"))  # type: ignore[arg-type]
