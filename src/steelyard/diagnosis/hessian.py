"""The Hessian of the mean loss of some rows by the trainable parameters of a model, as products with vectors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, SteelyardError
from steelyard.core.loss import Loss
from steelyard.core.modes import evaluating
from steelyard.core.objective import PlainLoss, RowLoss
from steelyard.core.rows import Batch
from steelyard.core.seeds import generator
from steelyard.core.task import Task
from steelyard.diagnosis.curvature_data import Batches
from steelyard.numeric.directional import plain_attention

REPEATS = 1e-3
"""How far, relatively, derivatives may differ when they are taken again: GPUs add in any order."""


class _Scores(nn.Module):
    """The model and the task's way of asking it, as a module from a batch to logits."""

    def __init__(self, model: nn.Module, task: Task | None) -> None:
        super().__init__()
        self.model, self.task = model, task

    def forward(self, given: dict[str, Batch]) -> Tensor:
        batch = given["batch"]
        logits = self.model(batch.inputs) if self.task is None else self.task.forward(self.model, batch).logits
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(batch.target):
            found = f"shape {list(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise ArgumentError("model", f"one that gives a row of logits for each of the {len(batch.target)} inputs", found)
        return logits


class _MeanLoss(nn.Module):
    """Mean over rows of a loss per row."""

    reduction = "mean"  # how the library weighs batches

    def __init__(self, per_row: Loss) -> None:
        super().__init__()
        self.per_row = per_row

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.per_row.rows(logits, target).mean()


class Hessian:
    """Products with the Hessian of the mean loss of fixed batches; keep the model in evaluation mode around it (`still`).

    Args:
        model: whose parameters that require gradients count.
        loss: per row.
        task: scores the rows; None where `model(inputs)` are the logits.
        batches: the rows.
        columns: products made at once.

    Raises:
        SteelyardError: curvlinops is not installed.
    """

    def __init__(self, model: nn.Module, loss: Loss | RowLoss, task: Task | None, batches: Batches, columns: int) -> None:
        self.scores = _Scores(model, task)
        self.loss = _MeanLoss(loss if isinstance(loss, Loss) else PlainLoss(loss))
        self.parameters = [value for value in model.parameters() if value.requires_grad]
        self.batches, self.columns = batches, columns
        self.rows = sum(len(target) for _, target in batches)
        with _quiet():
            self.operator = _library().HessianLinearOperator(
                self.scores,
                self.loss,
                self.parameters,
                batches,
                check_deterministic=False,  # `check_repeats` does it, without the global generator
                num_data=self.rows,
                batch_size_fn=lambda given: len(given["batch"].target),
            )

    @property
    def like(self) -> Tensor:
        """A vector of the size, dtype and device of the parameters."""
        return self.parameters[0].detach().new_zeros(()).expand(sum(value.numel() for value in self.parameters))

    def __call__(self, columns: Tensor) -> Tensor:
        """The Hessian times columns `[P, K]`."""
        with _quiet():
            return torch.cat([self.operator @ some for some in columns.split(self.columns, dim=1)], 1)

    def gradient(self) -> tuple[float, Tensor]:
        """Mean loss of the rows and its gradient `[P]`."""
        loss, total = 0.0, torch.zeros_like(self.like)
        for given, target in self.batches:
            with torch.enable_grad():
                mean = self.loss(self.scores(given), target)
                found = torch.autograd.grad(mean, self.parameters, materialize_grads=True)
            loss += float(mean.detach()) * len(target) / self.rows
            total = total + torch.cat([value.flatten() for value in found]) * (len(target) / self.rows)
        return loss, total

    def check_repeats(self, seed: int = 0) -> None:
        """Refuse derivatives that are not finite, or differ when they are taken again."""
        probe = torch.randn(self.like.numel(), 1, generator=generator(seed, "curvature", "check")).to(self.like)
        for once, again in ((self.gradient()[1], self.gradient()[1]), (self(probe), self(probe))):
            if not torch.isfinite(once).all():
                raise ArgumentError("model", "one whose loss has finite derivatives", "NaN or infinity")
            if float((once - again).norm()) > REPEATS * float(once.norm()):
                expected = "one that says the same twice in evaluation mode (is dropout always on?)"
                raise ArgumentError("model", expected, "derivatives that differ")


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, with attention that has derivatives of all kinds; training flags are as before afterwards."""
    with evaluating(model), plain_attention():
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings that torch has about itself when it is asked for forward mode."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield


def _library() -> Any:
    """The library of Hessian products, of which version 4 takes its parameters in another way."""
    try:
        import curvlinops
    except ImportError:
        raise SteelyardError(
            "`curvature` needs the package curvlinops-for-pytorch: pip install 'steelyard[diagnosis]'"
        ) from None
    return curvlinops
