"""The one place that reduces: rows -> losses, weights and their mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.loss import CrossEntropy, Loss, upcast
from steelyard.core.rows import Clock, Evidence, Rows, seen
from steelyard.core.weighting import Uniform, Weighting, check_weighting
from steelyard.numeric.normalise import divisor


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the objective says about a batch at some parameters.

    Attributes:
        rows: the model's rows.
        losses: `[N]`, before weights and shares; what weightings see.
        weights: `[N]`; None where every row weighs 1.
        mass: sum of the shares, the denominator; a Python number where every row counts 1.
        clock: when.
        unweighted: `[N]`, what the loss adds to that beside all weights, a self-supervised term for instance; None for nothing.
    """

    rows: Rows
    losses: Tensor
    weights: Tensor | None
    mass: Tensor | int
    clock: Clock
    unweighted: Tensor | None = None

    @property
    def contributions(self) -> Tensor:
        """`share * (weight * loss + unweighted)` of each row `[N]`."""
        values = self.losses if self.weights is None else self.losses * self.weights
        values = values if self.unweighted is None else values + self.unweighted
        return values if self.rows.share is None else values * self.rows.share

    @property
    def loss(self) -> Tensor:
        """`sum(share * (weight * loss + unweighted)) / sum(share)`, a scalar with the graph; 0 where no row counts."""
        return self.contributions.sum() / counting(self.mass)

    def restricted(self, mask: Tensor) -> Tensor:
        """The part of `loss` that the rows of `mask` `[N]` contribute, with the same denominator."""
        return (self.contributions * mask).sum() / counting(self.mass)

    def evidence(self) -> Evidence:
        """What weightings and observers may see: detached, at least float32."""
        rows = self.rows
        return Evidence(
            target=rows.target,
            logits=seen(rows.logits),
            losses=seen(self.losses),
            features=seen(rows.features),
            index=rows.index,
            share=rows.share,
            clock=self.clock,
        )


def counting(mass: Tensor | int) -> Tensor | int:
    """A mass to divide by: 1 for one of 0, as of a batch whose rows are all ignored, which makes nothing of nothing."""
    return divisor(mass) if isinstance(mass, Tensor) else max(mass, 1)


RowLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


class PlainLoss(Loss):
    """Any callable `(logits, target) -> [N]`, a torch loss with `reduction="none"` for instance, as a `Loss`."""

    def __init__(self, function: RowLoss) -> None:
        super().__init__("none")
        self.function = function

    def rows(self, logits: Tensor, target: Tensor, **_: Any) -> Tensor:
        """The function's values `[N]`."""
        values = self.function(upcast(logits), target)
        if values.shape != target.shape:
            expected = 'a loss per row [N] (a torch loss needs reduction="none")'
            raise ArgumentError("loss", expected, f"shape {list(values.shape)}")
        return values


class Objective(nn.Module):
    """A loss and a weighting.

    Args:
        loss: a `Loss`, or any callable `(logits [N, C], target [N]) -> [N]`.
        weighting: a `Weighting`.

    Raises:
        ArgumentError: `loss` cannot be called with scores and classes, or `weighting` is no `Weighting`.
    """

    def __init__(self, loss: Loss | RowLoss | None = None, weighting: Weighting | None = None) -> None:
        super().__init__()
        if loss is None:
            loss = CrossEntropy()
        if not callable(loss) or isinstance(loss, type):
            found = f"the class {loss.__name__} itself" if isinstance(loss, type) else f"a {type(loss).__name__}"
            raise ArgumentError("loss", "a Loss, as steelyard.losses.CrossEntropy() is one, or (logits, target) -> [N]", found)
        self.loss = loss if isinstance(loss, Loss) else PlainLoss(loss)
        self.weighting = Uniform() if weighting is None else check_weighting(weighting)

    def losses(self, rows: Rows, clock: Clock) -> Tensor:
        """The loss of each row that the weighting weighs `[N]`."""
        return self.parts(rows, clock)[0]

    def parts(self, rows: Rows, clock: Clock) -> tuple[Tensor, Tensor | None]:
        """The loss of each row that the weighting weighs, and what it leaves alone, `[N]` each; see `Loss.parts`."""
        return self.loss.parts(rows.logits, rows.target, features=rows.features, index=rows.index, clock=clock, **rows.extra)

    def forward(
        self, rows: Rows, clock: Clock, *, weights: Tensor | float | None = None, through_weights: bool = False
    ) -> Evaluation:
        """Evaluate rows.

        Args:
            rows: what the model says.
            clock: the time.
            weights: used instead of asking the weighting: `[N]`, or 1.0 for unweighted.
            through_weights: keep the graph from the weights to the weighting's own parameters.
        """
        losses, unweighted = self.parts(rows, clock)
        mass = rows.target.shape[0] if rows.share is None else rows.share.sum()
        evaluation = Evaluation(rows, losses, None, mass, clock, unweighted)
        if weights is None:
            if type(self.weighting) is Uniform:
                return evaluation
            asked: Tensor = self.weighting(evaluation.evidence())
            weights = asked if through_weights else asked.detach()
        if isinstance(weights, float | int):
            if weights == 1:
                return evaluation
            weights = losses.new_full(losses.shape, float(weights))
        return dataclasses.replace(evaluation, weights=weights)
