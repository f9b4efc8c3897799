from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from staged import REGIME, cosine_cnn, equal, headless, interrupted, resnet32, small_cnn, state_without, table
from tiny import Blobs, numbers, same_weights
from torch import Tensor, nn

from steelyard.core.errors import CombinationError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.task import Task, TaskView
from steelyard.methods._classifier import class_means
from steelyard.methods.ce import ce
from steelyard.methods.ncm import ncm
from steelyard.nets import NearestMean


def by_hand(model: nn.Sequential, task: Blobs, inputs: Tensor, distance: str) -> Tensor:
    """Classes by a loop, from the features of a plainly trained model."""
    rows = task.splits["train"]
    features, asked = model[:4](rows.inputs), model[:4](inputs)
    if distance == "cosine":
        features = F.normalize(features, dim=1)
    means = torch.stack([features[rows.target == c].mean(0) for c in range(3)])
    if distance == "cosine":
        return F.cosine_similarity(asked[:, None], means[None], dim=2).argmax(1)
    return torch.cdist(asked, means).argmin(1)


@pytest.mark.parametrize("distance", ["cosine", "l2"])
def test_decisions_are_those_of_the_nearest_mean_of_plain_features(distance: str) -> None:
    task, inputs = Blobs(), torch.randn(200, 4)
    plain = fit(task, ce, REGIME, device="cpu").model.eval()
    fitted = fit(task, partial(ncm, distance=distance), REGIME, device="cpu").model.eval()
    assert equal(state_without(plain, "4."), state_without(fitted, "4."))
    assert isinstance(fitted[4], NearestMean)
    with torch.no_grad():
        assert torch.equal(fitted(inputs).argmax(1), by_hand(plain, task, inputs, distance))


def test_the_variance_is_that_within_classes() -> None:
    task = Blobs(build=lambda: nn.Sequential(nn.Identity(), nn.Linear(4, 3)), counts=(50, 20, 1))
    means, variance = class_means(TaskView(task), task.model(), unit=False)
    rows = task.splits["train"]
    within = sum((rows.inputs[rows.target == c] - means[c]).square().sum() for c in range(3))
    assert variance == pytest.approx(float(within) / (4 * (71 - 3)), rel=1e-5)
    assert torch.allclose(means[2], rows.inputs[-1])


def test_reading_the_features_leaves_the_model_as_it_was() -> None:
    task = Blobs()
    model = task.model().train()
    model[3].eval()
    before, modes = state_without(model), [module.training for module in model.modules()]
    class_means(TaskView(task), model, unit=True)
    assert equal(before, state_without(model))
    assert modes == [module.training for module in model.modules()]
    assert not model[4]._forward_pre_hooks


def test_stage_2_learns_the_variance_and_makes_no_other_decisions() -> None:
    task, inputs = Blobs(), torch.randn(100, 4)
    short, long = (fit(task, partial(ncm, head_epochs=n), REGIME, device="cpu").model.eval() for n in (1, 5))
    assert not torch.equal(short[4].log_variance, long[4].log_variance)
    assert torch.equal(short[4].means, long[4].means)
    assert torch.equal(short(inputs).argmax(1), long(inputs).argmax(1))


def test_the_selected_epoch_has_its_means() -> None:
    fitted = fit(Blobs(), ncm, REGIME.replace(select="best_valid"), device="cpu")
    assert fitted.selected_epoch == 1
    assert isinstance(fitted.use("best_valid")[4], NearestMean)
    assert fitted.history[-1]["stage"] == 1


def test_a_class_without_rows_is_never_decided_for() -> None:
    task = Blobs(counts=(40, 0, 5))
    fitted = fit(task, ncm, REGIME, device="cpu").model.eval()
    assert not (fitted(torch.randn(300, 4) * 3).argmax(1) == 1).any()


def test_resuming_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = fit(Blobs(), ncm, REGIME, device="cpu")
    for steps in (9, 4 * 6 + 2 - 9):
        interrupted(Blobs(), ncm, tmp_path, steps)
    resumed = fit(Blobs(), ncm, REGIME, folder=tmp_path, device="cpu")
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)


def linear() -> Task:
    """The model is its own classifier."""
    return Blobs(build=lambda: nn.Linear(4, 3))


@pytest.mark.parametrize("task", [table, small_cnn, resnet32, cosine_cnn, linear], ids=lambda make: make.__name__)
@pytest.mark.parametrize("distance", ["cosine", "l2"])
def test_models_of_every_kind(task: Callable[[], Task], distance: str) -> None:
    fitted = fit(task(), partial(ncm, distance=distance), Regime(epochs=1, batch_size=32, lr=0.01), device="cpu")
    assert all(torch.isfinite(value).all() for value in fitted.model.state_dict().values())


def test_models_without_a_classifier_are_refused_before_training() -> None:
    with pytest.raises(CombinationError, match="no linear layer"):
        next(ncm(TaskView(headless())))


def test_a_classifier_of_more_than_one_vector_a_row_is_refused() -> None:
    build = lambda: nn.Sequential(nn.Unflatten(1, (4, 1)), nn.Linear(1, 3), nn.AvgPool2d((4, 1)), nn.Flatten())  # noqa: E731
    with pytest.raises(CombinationError, match=r"shape \[94, 4, 1\]"):
        class_means(TaskView(Blobs(build=build)), build(), unit=True)
