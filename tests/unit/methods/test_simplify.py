"""The three parts together; each alone is compared with its own method in the laws."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from staged import headless, interrupted, resnet32, small_cnn, table
from tiny import Blobs, numbers, same_weights

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.task import Task, TaskView
from steelyard.descents import AsymmetricSAM
from steelyard.losses import ClassSmoothing, JointVicreg
from steelyard.methods.simplify import simplify
from steelyard.settings import resolve_regime

REGIME = Regime(epochs=3, batch_size=32, lr=0.02)


def test_the_parts_are_where_they_belong() -> None:
    stage = next(
        simplify(TaskView(Blobs()), minimum=0.1, maximum=0.2, rho=0.03, form="released", term="vicreg", ssl_weight=0.02)
    )
    loss, descent = stage.objective.loss, stage.descent
    assert isinstance(loss, JointVicreg)
    assert loss.weight == 0.02
    assert isinstance(loss.loss, ClassSmoothing)
    assert torch.allclose(loss.loss.smoothing[[0, 2]], torch.tensor([0.1, 0.2], dtype=loss.loss.smoothing.dtype))
    assert isinstance(descent, AsymmetricSAM)
    assert (descent.rho, descent.power, descent.form) == (0.03, 0.5, "released")


def test_without_a_self_supervised_term_any_model_will_do() -> None:
    fitted = fit(headless(), partial(simplify, ssl_weight=0.0), REGIME, device="cpu")
    assert all(torch.isfinite(value).all() for value in fitted.model.state_dict().values())
    with pytest.raises(CombinationError, match="no linear layer"):
        next(simplify(TaskView(headless())))


@pytest.mark.parametrize("task", [table, small_cnn, resnet32], ids=lambda make: make.__name__)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_models_of_every_kind(task: Callable[[], Task], precision: str) -> None:
    fitted = fit(task(), simplify, REGIME.replace(epochs=1, precision=precision), device="cpu")
    assert all(torch.isfinite(value).all() for value in fitted.model.state_dict().values())


def test_resuming_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = fit(Blobs(), simplify, REGIME, device="cpu")
    interrupted(Blobs(), simplify, tmp_path, 5, REGIME)
    resumed = fit(Blobs(), simplify, REGIME, folder=tmp_path, device="cpu")
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)


def test_settings_out_of_range_are_refused() -> None:
    for settings in ({"minimum": 0.3}, {"rho": -1.0}, {"power": -1.0}, {"ssl_weight": -1.0}, {"direction": "body"}):
        with pytest.raises(ArgumentError):
            next(simplify(TaskView(Blobs()), **settings))


@pytest.mark.parametrize("data", ["digits", "wine"])
def test_the_regime_fits_images_and_tables(data: str) -> None:
    """Strong augmentation where there is such a thing."""
    import steelyard as sy

    if data == "digits":
        pytest.importorskip("kornia")
    regime = resolve_regime("simplify(batch=64, epochs=1)")
    fitted = sy.fit(data, method="simplify", regime=regime, device="cpu")
    assert all(torch.isfinite(value).all() for value in fitted.model.state_dict().values())
