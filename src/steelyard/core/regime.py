"""A regime is a training recipe: epochs, batch, optimiser, schedule, augmentation. A method may not change it."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("cosine", "step", "constant")
PRECISIONS = ("float32", "bfloat16")
SELECTIONS = ("last", "best_valid")
WATCHED = ("balanced_accuracy", "log_loss")
DECAYED = ("all", "body")
OPTIONAL = ("clip_norm", "ema", "patience")


@dataclass(frozen=True)
class Regime:
    """How a model is trained, whatever the method.

    Attributes:
        epochs: passes over the training rows; a sampler may define an epoch otherwise.
        batch_size: rows a step, over all processes.
        optimizer: "sgd", "adam" or "adamw".
        lr: peak learning rate, > 0.
        momentum: of SGD, in [0, 1).
        nesterov: Nesterov momentum for SGD.
        weight_decay: >= 0; decoupled for AdamW, added to the gradient otherwise.
        decayed: what `weight_decay` acts on: "all" parameters, or the "body", that is all but the classifier (the last linear
            layer), as in the usual recipes of graph networks.
        schedule: "cosine" to zero, "step" (see `milestones`), or "constant".
        warmup_epochs: linear warm-up at the start, in epochs.
        milestones: for "step": fractions of the epochs at which the rate is multiplied by `decay`.
        decay: for "step": the factor, in (0, 1].
        clip_norm: largest gradient norm; None for no clipping.
        ema: decay of an exponential moving average of the weights in (0, 1), which is then what is judged; None for none.
        precision: "float32", or "bfloat16" (autocast). fp16 with loss scaling is not offered: two-pass and bilevel
            methods need unscaled gradients in the middle of a step.
        augment: strength of the augmentation; what a task offers ("none", "crop-flip", ...).
        patience: stop after this many epochs without a better validation score; None to train to the end.
        select: "last" epoch, or "best_valid": the one with the best validation score. Comparisons report both.
        watch: the validation score: "balanced_accuracy" (the highest, the earliest of equals), or "log_loss": that of the
            scores plus the class offsets that suit the validation rows best, so that a method which shifts scores is judged
            for what it has learnt; the latest epoch within 5 % of the lowest so far counts as the best.

    Raises:
        ArgumentError: a value is out of its range; the message names it.

    Example:
        >>> Regime(epochs=10, lr=0.05).lr_at(0, 100)
        0.05
    """

    epochs: int = 30
    batch_size: int = 128
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 2e-4
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    milestones: tuple[float, ...] = (0.8, 0.9)
    decay: float = 0.1
    clip_norm: float | None = None
    ema: float | None = None
    precision: str = "float32"
    augment: str = "none"
    patience: int | None = None
    select: str = "last"
    watch: str = "balanced_accuracy"
    decayed: str = "all"

    def __post_init__(self) -> None:
        """Check every value once; numbers of any type become Python's own."""
        for name in ("epochs", "batch_size", "patience"):
            self._convert(name, operator.index, "a whole number")
        for name in ("lr", "momentum", "weight_decay", "warmup_epochs", "decay", "clip_norm", "ema"):
            self._convert(name, _number, "a number")
        self._convert("milestones", lambda values: tuple(_number(value) for value in values), "numbers, such as (0.8, 0.9)")
        checks: Iterable[tuple[str, bool, str]] = (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("optimizer", self.optimizer in OPTIMIZERS, " or ".join(map(repr, OPTIMIZERS))),
            ("lr", _between(self.lr, 0, math.inf) and self.lr > 0, "a number above 0"),
            ("momentum", _between(self.momentum, 0, 1), "in [0, 1)"),
            ("nesterov", not self.nesterov or self.momentum > 0, "false where momentum is 0"),
            ("weight_decay", _between(self.weight_decay, 0, math.inf), "0 or more"),
            ("schedule", self.schedule in SCHEDULES, " or ".join(map(repr, SCHEDULES))),
            ("warmup_epochs", _between(self.warmup_epochs, 0, math.inf), "0 or more"),
            ("milestones", all(0 < m <= 1 for m in self.milestones), "fractions of the epochs in (0, 1]"),
            ("decay", 0 < self.decay <= 1, "in (0, 1]"),
            ("clip_norm", self.clip_norm is None or self.clip_norm > 0, "a number above 0, or none"),
            ("ema", self.ema is None or 0 < self.ema < 1, "in (0, 1), or none"),
            ("precision", self.precision in PRECISIONS, " or ".join(map(repr, PRECISIONS))),
            ("patience", self.patience is None or self.patience >= 1, "at least 1, or none"),
            ("select", self.select in SELECTIONS, " or ".join(map(repr, SELECTIONS))),
            ("watch", self.watch in WATCHED, " or ".join(map(repr, WATCHED))),
            ("decayed", self.decayed in DECAYED, " or ".join(map(repr, DECAYED))),
        )
        for name, holds, expected in checks:
            if not holds:
                raise ArgumentError(f"regime.{name}", expected, repr(getattr(self, name)))

    def _convert(self, name: str, kind: Callable[[Any], Any], expected: str) -> None:
        value = getattr(self, name)
        if value is None and name in OPTIONAL:
            return
        try:
            object.__setattr__(self, name, kind(value))
        except (TypeError, ValueError):
            raise ArgumentError(f"regime.{name}", expected, repr(value)) from None

    def replace(self, **changes: Any) -> Regime:
        """A copy with some settings changed."""
        return dataclasses.replace(self, **changes)

    def settings(self) -> dict[str, Any]:
        """All settings as JSON values; usual ones that older runs have not are left out, as runs are found by these."""
        found = {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}
        for name, usual in (("watch", WATCHED[0]), ("decayed", DECAYED[0])):
            if found[name] == usual:
                del found[name]
        return found

    def build_optimizer(
        self, params: Iterable[nn.Parameter], device: torch.device, head: Iterable[nn.Parameter] = ()
    ) -> torch.optim.Optimizer:
        """The optimiser.

        Args:
            params: what it moves.
            device: where they live.
            head: those of the classifier, which `decayed="body"` leaves out of weight decay; others than `params` are ignored.
        """
        fused = device.type in ("cpu", "cuda")
        groups = self._groups(list(params), head)
        if self.optimizer != "sgd":
            adam = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
            return adam(groups, lr=self.lr, weight_decay=self.weight_decay, fused=fused)
        return torch.optim.SGD(
            groups, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, weight_decay=self.weight_decay, fused=fused
        )

    def _groups(self, params: list[nn.Parameter], head: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
        """Parameters with weight decay, and those without."""
        last = {id(param) for param in head} if self.decayed == "body" else set()
        without = [param for param in params if id(param) in last]
        groups: list[dict[str, Any]] = [{"params": [param for param in params if id(param) not in last]}]
        if without:
            groups.append({"params": without, "weight_decay": 0.0})
        return [group for group in groups if group["params"]]

    def lr_at(self, step: int, steps_per_epoch: int, epochs: int | None = None) -> float:
        """Learning rate of a step: a pure function of the time, so resuming needs no scheduler state.

        Args:
            step: optimiser steps done in the stage.
            steps_per_epoch: batches in an epoch.
            epochs: the stage's; None for the regime's.
        """
        total = max((self.epochs if epochs is None else epochs) * steps_per_epoch, 1)
        warm = min(round(self.warmup_epochs * steps_per_epoch), total)
        if step < warm:
            return self.lr * (step + 1) / warm
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))
        if self.schedule == "step":
            return self.lr * float(self.decay ** sum(step >= round(m * total) for m in self.milestones))
        return self.lr


def clip(params: Iterable[Tensor], max_norm: float | None, *, stacked: bool = False) -> None:
    """Scale gradients down to a norm of at most `max_norm`; nothing for None.

    Args:
        params: whose gradients.
        max_norm: of all of them together.
        stacked: the first dimension of every parameter numbers members of a cohort, each of which is clipped on its own.
    """
    if max_norm is None:
        return
    params = list(params)
    grads = [param.grad for param in params if param.grad is not None]
    if not stacked:
        if grads and all(grad.device == grads[0].device and grad.dtype == grads[0].dtype for grad in grads):
            _clip_together(grads, max_norm)
        else:
            torch.nn.utils.clip_grad_norm_(params, max_norm)
        return
    norms = torch.stack([torch.linalg.vector_norm(grad.reshape(len(grad), -1), dim=1) for grad in grads])
    factor = _factor_to(max_norm, torch.linalg.vector_norm(norms, dim=0))
    for grad in grads:
        grad.mul_(factor.reshape(-1, *[1] * (grad.ndim - 1)))


def _clip_together(grads: list[Tensor], max_norm: float) -> None:
    """What `torch.nn.utils.clip_grad_norm_` does, to the bit; without its fixed cost, felt in steps of a millisecond."""
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads, 2.0)))
    torch._foreach_mul_(grads, _factor_to(max_norm, norm))


def _factor_to(max_norm: float, norm: Tensor) -> Tensor:
    """`max_norm / (norm + 1e-6)`, at most 1, as torch computes it, in the place of the norms."""
    return norm.add_(1e-6).reciprocal_().mul_(max_norm).clamp_max_(1.0)


def _number(value: Any) -> float:
    if isinstance(value, str):
        raise TypeError("text")
    return float(value)


def _between(value: float, low: float, high: float) -> bool:
    return math.isfinite(value) and low <= value < high
