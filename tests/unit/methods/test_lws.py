from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from staged import REGIME, cosine_cnn, equal, headless, interrupted, is_statistic, resnet32, small_cnn, state_without, table
from tiny import Blobs, numbers, same_weights

from steelyard.core.errors import ArgumentError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.task import Task, TaskView
from steelyard.methods.ce import ce
from steelyard.methods.lws import lws
from steelyard.nets import ScaledScores


def test_only_the_factors_are_learnt() -> None:
    plain, fitted = fit(Blobs(), ce, REGIME, device="cpu").model, fit(Blobs(), lws, REGIME, device="cpu").model
    assert isinstance(fitted, ScaledScores)
    assert equal(state_without(plain), state_without(fitted.model))
    assert not (fitted.scale == 1).any()


def test_on_request_statistics_move() -> None:
    plain = fit(Blobs(), ce, REGIME, device="cpu").model
    fitted = fit(Blobs(), partial(lws, freeze_statistics=False), REGIME, device="cpu").model
    names = state_without(plain)
    assert all(torch.equal(names[name], fitted.model.state_dict()[name]) is not is_statistic(name) for name in names)


def test_rare_classes_gain_in_scale() -> None:
    """Their positive scores are too small after training on a long tail."""
    task = Blobs(counts=(400, 20, 8))
    fitted = fit(task, partial(lws, head_epochs=20), Regime(epochs=10, batch_size=16, lr=0.05), device="cpu")
    recall = [line["valid_balanced_accuracy"] for line in fitted.history]
    assert recall[-1] > recall[9]


def test_resuming_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = fit(Blobs(), lws, REGIME, device="cpu")
    interrupted(Blobs(), lws, tmp_path, 4 * 6 + 8)
    resumed = fit(Blobs(), lws, REGIME, folder=tmp_path, device="cpu")
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)


@pytest.mark.parametrize("task", [table, small_cnn, resnet32, cosine_cnn, headless], ids=lambda make: make.__name__)
def test_models_of_every_kind(task: Callable[[], Task]) -> None:
    fitted = fit(task(), partial(lws, head_epochs=1), Regime(epochs=1, batch_size=32, lr=0.01), device="cpu")
    assert torch.isfinite(fitted.model.scale).all()


def test_fewer_than_no_epochs_are_refused() -> None:
    with pytest.raises(ArgumentError, match="head_epochs"):
        next(lws(TaskView(Blobs()), head_epochs=-1))
