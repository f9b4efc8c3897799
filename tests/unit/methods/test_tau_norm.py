from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from staged import REGIME, cosine_cnn, equal, headless, interrupted, resnet32, small_cnn, state_without, table
from tiny import Blobs, same_weights
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.fit import fit
from steelyard.core.measure import predict_logits
from steelyard.core.regime import Regime
from steelyard.core.task import Task, TaskView
from steelyard.decisions import Adjusted
from steelyard.methods.ce import ce
from steelyard.methods.tau_norm import GRID, tau_norm


def by_hand(model: nn.Sequential, inputs: Tensor, tau: float) -> Tensor:
    head = model[4]
    return F.linear(model[:4](inputs), head.weight / head.weight.norm(dim=1, keepdim=True) ** tau)


@pytest.mark.parametrize("tau", [0.0, 1.0, 1.7])
def test_it_is_plain_training_with_other_scores(tau: float) -> None:
    plain = fit(Blobs(), ce, REGIME, device="cpu").model.eval()
    fitted = fit(Blobs(), partial(tau_norm, tau=tau), REGIME, device="cpu").model.eval()
    assert equal(state_without(plain), state_without(fitted.model))
    inputs = torch.randn(20, 4)
    torch.testing.assert_close(fitted(inputs), by_hand(plain, inputs, tau))


def test_tau_is_the_best_on_the_validation_split_and_the_smallest_of_equals() -> None:
    task = Blobs(counts=(300, 20, 6))
    regime = Regime(epochs=6, batch_size=16, lr=0.05)
    plain = fit(task, ce, regime, device="cpu").model.eval()
    rows = task.splits["valid"]
    recalls = []
    for tau in GRID:
        said = by_hand(plain, rows.inputs, tau).argmax(1)
        recalls.append(torch.stack([(said[rows.target == c] == c).double().mean() for c in range(3)]).mean().item())
    fitted = fit(task, tau_norm, regime, device="cpu")
    assert list(GRID) == pytest.approx([0.1 * step for step in range(21)])
    assert fitted.model.decision.tau == GRID[recalls.index(max(recalls))]
    assert max(recalls) > recalls[0]


def test_the_selected_epoch_is_normalised_too() -> None:
    fitted = fit(Blobs(), partial(tau_norm, tau=1.0), REGIME.replace(epochs=8), device="cpu")
    judged = fitted.use("best_valid").eval()
    inputs = torch.randn(20, 4)
    torch.testing.assert_close(judged(inputs), by_hand(judged.model, inputs, 1.0))


def test_keeping_the_bias_changes_scores_by_it() -> None:
    task, regime = Blobs(), REGIME
    without, kept = (
        fit(task, partial(tau_norm, tau=1.0, keep_bias=keep), regime, device="cpu").model for keep in (False, True)
    )
    scores = [predict_logits(task, model, task.splits["valid"])[0] for model in (without, kept)]
    torch.testing.assert_close(scores[1] - scores[0], kept.model[4].bias.detach().expand(30, 3))


def test_resuming_chooses_the_same(tmp_path: Path) -> None:
    whole = fit(Blobs(), tau_norm, REGIME, device="cpu")
    interrupted(Blobs(), tau_norm, tmp_path, 15)
    resumed = fit(Blobs(), tau_norm, REGIME, folder=tmp_path, device="cpu")
    assert same_weights(whole.model, resumed.model)
    assert whole.model.decision.tau == resumed.model.decision.tau


@pytest.mark.parametrize("task", [table, small_cnn, resnet32], ids=lambda make: make.__name__)
def test_models_of_every_kind(task: Callable[[], Task]) -> None:
    fitted = fit(task(), tau_norm, Regime(epochs=1, batch_size=32, lr=0.01), device="cpu")
    assert isinstance(fitted.model, Adjusted)
    assert fitted.model.decision.tau in GRID


@pytest.mark.parametrize(("task", "reason"), [(headless, "no linear layer"), (cosine_cnn, "NormedLinear")])
@pytest.mark.parametrize("tau", ["auto", 1.0])
def test_other_classifiers_are_refused_before_training(task: Callable[[], Task], reason: str, tau: float | str) -> None:
    with pytest.raises(CombinationError, match=reason):
        next(tau_norm(TaskView(task()), tau=tau))


def test_without_validation_rows_tau_has_to_be_given() -> None:
    with pytest.raises(ArgumentError, match="no validation split"):
        next(tau_norm(TaskView(Blobs(valid=False))))
    fitted = fit(Blobs(valid=False), partial(tau_norm, tau=0.5), REGIME, device="cpu")
    assert fitted.model.decision.tau == 0.5
