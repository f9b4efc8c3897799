"""Weights by how hard a class is at present."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.measure import Report
from steelyard.core.roles import Assesses, Observes
from steelyard.core.rows import Evidence
from steelyard.core.weighting import ClassTable
from steelyard.core.world import World

SEARCH = {"tau": "0.5..2", "ema": "0..0.9", "floor": "log(1e-3..0.1)"}
Tau: TypeAlias = float | Literal["dynamic", "dynamic_released"]
FORMS = ("dynamic", "dynamic_released")
EPSILON = 0.01


def dynamic_tau(accuracy: Tensor, form: str = "dynamic") -> Tensor:
    """The exponent for class accuracies `[C]`, a scalar: the larger, the further apart the best and the worst class are.

    Formula:
        "dynamic" (paper, released ImageNet-LT code): `2 / (1 + exp(-b))`, `b = max A / (min A + 0.01) - 1`: about 1 to 2;
        "dynamic_released" (released CIFAR and EGTEA code): `1 / (1 + exp(-max A / (min A + 0.01)))`: 1/2 to 1

    Example:
        >>> accuracy = torch.tensor([0.9, 0.5])
        >>> dynamic_tau(accuracy), dynamic_tau(accuracy, "dynamic_released")
        (tensor(1.3647), tensor(0.8538))
    """
    ratio = accuracy.max() / (accuracy.min() + EPSILON)
    return ratio.sigmoid() if form == "dynamic_released" else 2 * (ratio - 1).sigmoid()


class ClassDifficulty(ClassTable, Assesses, Observes):
    """Classes that are got wrong weigh more; asked again after every epoch (CDB).

    Formula:
        `w_c` proportional to `max(1 - A_c, floor)^tau`, mean 1 over classes; `A_c` the accuracy of class c after the last
        epoch, 1 for all classes before the first one has ended

    It corrects errors, not the class prior: where a logit adjustment or a sampler has made classes equally hard, it does
    nothing. So it combines with them.

    Args:
        num_classes: C.
        tau: 0 or more (0 is plain training), or how it follows the accuracies: see `dynamic_tau`.
        ema: part of the accuracies so far that is kept at each epoch, in [0, 1); 0 is the paper's, 0.9 oscillates less.
        floor: least difficulty of a class, in [0, 1]; with 0 (the paper's) a class without an error loses all weight.
        accuracy: of which rows. "valid": the validation split, which is cut from training data; "train": the rows of the
            epoch's own batches, as scored while training.

    Attributes:
        class_weights: `[C]`, mean 1.
        class_accuracy: `[C]`, what they come from; -1 for a class not measured yet, which weighs like one of mean accuracy.

    Raises:
        ArgumentError: an argument out of its range.
        CombinationError: `accuracy="valid"` without a validation split.

    Reference:
        Sinha, Ohashi, Nakamura, Class-wise difficulty-balanced loss for solving class-imbalance, ACCV 2020.

    Departures:
        The floor, and equal weights where no class has an error (the released code divides 0 by 0). The released CIFAR code
        cuts a balanced validation set off the data before making them imbalanced, so that its rare classes have rows there
        that other methods never get; here the split is cut from the imbalanced training rows.

    Example:
        >>> weigh = ClassDifficulty(2, tau=1.0)
        >>> weigh.update(torch.tensor([0.9, 0.6]))
        >>> weigh.class_weights
        tensor([0.4000, 1.6000])
    """

    class_accuracy: Tensor
    counted: Tensor

    def __init__(
        self,
        num_classes: int,
        tau: Tau = "dynamic",
        ema: float = 0.0,
        floor: float = 0.01,
        accuracy: Literal["valid", "train"] = "valid",
    ) -> None:
        if num_classes < 1:
            raise ArgumentError("num_classes", "at least 1", num_classes)
        if tau not in FORMS and (isinstance(tau, str) or not 0 <= tau < math.inf):
            raise ArgumentError("tau", f"a finite number, 0 or more, or one of {FORMS}", repr(tau))
        if not 0 <= ema < 1:
            raise ArgumentError("ema", "in [0, 1)", ema)
        if not 0 <= floor <= 1:
            raise ArgumentError("floor", "in [0, 1]", floor)
        if accuracy not in ("valid", "train"):
            raise ArgumentError("accuracy", "'valid' or 'train'", repr(accuracy))
        super().__init__(torch.ones(num_classes))
        self.tau, self.ema, self.floor, self.accuracy = tau, float(ema), float(floor), accuracy
        self.register_buffer("class_accuracy", torch.full((num_classes,), -1.0))
        self.register_buffer("counted", torch.zeros(2, num_classes))

    def observe(self, evidence: Evidence) -> None:
        """Count the rows of a step, and those of them that were right, where that is what is asked for."""
        if self.accuracy == "valid":
            return
        if evidence.logits is None:
            raise CombinationError(
                "weighting 'class-difficulty' with accuracy='train' needs scores: give Evidence(logits=...), or use "
                "accuracy='valid'"
            )
        share = torch.ones_like(evidence.logits[:, 0]) if evidence.share is None else evidence.share
        right = evidence.logits.argmax(1) == evidence.target
        own = torch.zeros_like(self.counted)
        own.index_add_(1, evidence.target, torch.stack([share * right, share]).to(own.dtype))
        self.counted += World.current().sum(own)

    def assess(self, report: Report) -> None:
        """Weights for the next epoch."""
        if self.accuracy == "train":
            self.update(self.counted[0] / self.counted[1])
            self.counted.zero_()
            return
        if report.recall is None:
            raise CombinationError(
                "weighting 'class-difficulty' is taught by validation rows, and this task has none: cut some off the training "
                "rows, or use accuracy='train'"
            )
        self.update(report.recall)

    @torch.no_grad()
    def update(self, accuracy: Tensor) -> None:
        """Take in the accuracy of each class, for the loop of an own making.

        Args:
            accuracy: `[C]` in [0, 1]; NaN for classes that were not measured, which keep what they had.

        Raises:
            ArgumentError: another number of classes, or accuracies outside of [0, 1] (percentages).
        """
        new, old = torch.as_tensor(accuracy).to(self.class_accuracy), self.class_accuracy
        if new.shape != old.shape:
            raise ArgumentError("accuracy", f"of shape [{len(old)}], one value a class", list(new.shape))
        if bool(((new < 0) | (new > 1)).any()):  # once an epoch, so that waiting for the device does not matter
            raise ArgumentError("accuracy", "shares of right rows in [0, 1], or NaN where not measured", new.tolist()[:8])
        blended = torch.where(old < 0, new, self.ema * old + (1 - self.ema) * new)
        self.class_accuracy.copy_(torch.where(new.isnan(), old, blended))
        measured = self.class_accuracy.where(self.class_accuracy >= 0, torch.nan)
        filled = torch.where(measured.isnan(), measured.nanmean(), measured).nan_to_num(0.0)
        exponent = dynamic_tau(filled, self.tau) if isinstance(self.tau, str) else self.tau
        weights = (1 - filled).clamp(self.floor, 1.0).double() ** exponent
        mean = weights.mean()
        self.class_weights.copy_(torch.where(mean > 0, weights / mean, 1.0))

    def extra_repr(self) -> str:
        """Shown by print(weighting)."""
        settings = f"tau={self.tau}, ema={self.ema}, floor={self.floor}, accuracy={self.accuracy}"
        return f"classes={len(self.class_weights)}, {settings}"
