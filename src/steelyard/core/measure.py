"""A split through a model: logits, and the numbers that training itself needs. Everything else is in `steelyard.metrics`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.modes import evaluating
from steelyard.core.rows import Clock
from steelyard.core.task import Source, Task
from steelyard.core.world import local_device

LOGGED_CLASSES = 1000


@dataclass(frozen=True)
class Report:
    """What listeners with the role `Assesses` are told after an epoch. Never anything of the test split.

    Attributes:
        stage: index of the stage.
        clock: the last clock of the epoch.
        train_loss: mean of the objective over the epoch.
        lr: learning rate at the end of the epoch.
        seconds: training time since the run began, without measuring.
        steps: optimiser steps since the run began, over all stages.
        recall: per class on the validation split `[C]`; NaN for classes without rows there; None without a validation split.
        accuracy: on the validation split; None without one.
        balanced_accuracy: mean of `recall` over classes with rows; None without a validation split.
        macro_f1: mean F1 over classes with rows; None without a validation split.
        loss: mean cross-entropy of the validation rows; None without a validation split.
        fitted_loss: the same with the best class offsets for these rows (see `with_offsets`); None unless the regime watches
            it.
        class_weights: mean weight of the rows of each class in the epoch `[C]`, NaN where it had none; None where rows were
            not weighted.
    """

    stage: int
    clock: Clock
    train_loss: float
    lr: float
    seconds: float
    steps: int
    recall: Tensor | None = field(default=None)
    accuracy: float | None = None
    balanced_accuracy: float | None = None
    macro_f1: float | None = None
    loss: float | None = None
    fitted_loss: float | None = None
    class_weights: Tensor | None = None

    def line(self) -> dict[str, Any]:
        """The report as a line of a log; weights by class are left out where there are more than `LOGGED_CLASSES`."""
        return {
            "stage": self.stage,
            "epoch": self.clock.epoch + 1,
            "step": self.clock.step + 1,
            "lr": self.lr,
            "train_loss": self.train_loss,
            "seconds": self.seconds,
            "valid_accuracy": self.accuracy,
            "valid_balanced_accuracy": self.balanced_accuracy,
            "valid_macro_f1": self.macro_f1,
            "valid_loss": self.loss,
            **({} if self.fitted_loss is None else {"valid_fitted_loss": self.fitted_loss}),
            "class_weights": _logged(self.class_weights),
        }


def _logged(weights: Tensor | None) -> list[float | None] | None:
    """Numbers for JSON, which has no NaN."""
    if weights is None or len(weights) > LOGGED_CLASSES:
        return None
    return [None if value != value else round(value, 6) for value in weights.tolist()]


@torch.no_grad()
def predict_logits(task: Task, model: nn.Module, source: Source) -> tuple[Tensor, Tensor]:
    """Logits of every row of a split, in order, in evaluation mode.

    Args:
        task: gives the forward pass.
        model: on the device that `source` streams to; its training flags are as before afterwards.
        source: the rows.

    Returns:
        Logits `[N, C]` float32 and classes `[N]`, on the CPU.
    """
    with evaluating(model):
        return task.predict(model, source)


def predict_proba(task: Task, model: nn.Module, split: str, device: str | torch.device = "auto") -> tuple[Any, Any]:
    """Probabilities of every row of a split as NumPy arrays, which is what the metrics take.

    Args:
        task: gives the rows and the forward pass.
        model: moved to the device.
        split: name of the split.
        device: where to compute.

    Returns:
        Probabilities `[N, C]` float64 and classes `[N]`.
    """
    where = local_device(device)
    logits, target = predict_logits(task, model.to(where), task.splits[split].to(where))
    return torch.softmax(logits.double(), 1).numpy(), target.numpy()


def further_metrics(task: Task, model: nn.Module, split: str, device: str | torch.device = "auto") -> dict[str, float]:
    """The numbers that a task has of its own, by name (see `Task.further_metrics`)."""
    where = local_device(device)
    return task.further_metrics(model.to(where), split, where)


def recall_of(prediction: Tensor, target: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Recall and F1 of each class `[C]`; NaN for classes without rows."""
    confusion = torch.bincount(target * classes + prediction, minlength=classes * classes).reshape(classes, classes).double()
    right, truth, said = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    recall = right / truth
    f1 = torch.where(truth > 0, 2 * right / (truth + said).clamp_min(1), torch.nan)
    return recall, f1


def with_offsets(logits: Tensor, target: Tensor, rounds: int = 30) -> Tensor:
    """Logits plus the class offsets with which their cross-entropy is lowest `[N, C]`, by iterative scaling.

    With them, the mean probability of each class is its share of the rows: what a shift of all scores of a class changes is
    taken out. Classes without rows keep their scores.

    Args:
        logits: `[N, C]`.
        target: classes `[N]`.
        rounds: of the iteration, which converges linearly.

    Reference:
        Darroch and Ratcliff: Generalized iterative scaling for log-linear models, Annals of Mathematical Statistics 43, 1972.

    Example:
        >>> shifted = torch.tensor([[2.0, 0.0]] * 3) + torch.tensor([5.0, 0.0])
        >>> torch.softmax(with_offsets(shifted, torch.tensor([0, 1, 1])), 1)[0]
        tensor([0.3333, 0.6667])
    """
    wanted = torch.bincount(target, minlength=logits.shape[1]).to(logits.dtype)
    seen = wanted > 0
    for _ in range(rounds):
        found = torch.softmax(logits, 1).sum(0)
        logits = logits + torch.where(seen, (wanted / found.clamp_min(1e-30)).log(), 0.0)
    return logits


def validation_numbers(task: Task, model: nn.Module, source: Source, watch: str = "balanced_accuracy") -> dict[str, Any]:
    """The fields of `Report` that come from the validation split; `watch` as in a `Regime`."""
    logits, target = predict_logits(task, model, source)
    prediction = logits.argmax(1)
    recall, f1 = recall_of(prediction, target, task.num_classes)
    fitted = float(F.cross_entropy(with_offsets(logits.double(), target), target)) if watch == "log_loss" else None
    return {
        "recall": recall,
        "accuracy": float((prediction == target).double().mean()),
        "balanced_accuracy": float(recall.nanmean()),
        "macro_f1": float(f1.nanmean()),
        "loss": float(F.cross_entropy(logits.double(), target)),
        "fitted_loss": fitted,
    }
