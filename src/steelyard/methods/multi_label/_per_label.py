"""Losses of several labels an example as losses of rows."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from steelyard.core.errors import CombinationError
from steelyard.core.loss import Loss, as_rows
from steelyard.losses import LabelLoss


class PerLabel(Loss):
    """A loss of log-odds `[N, L]`, asked for the values of single labels.

    Args:
        loss: its values are taken; its reduction is not.

    Shape:
        logits `[N L, 2L]`, target `[N L]` and the label sets `[N, L]` of the examples, as a multi-label task gives them (twice
        as many rows where labels were mixed), to values `[N L]`.

    Raises:
        CombinationError: rows that are not the labels of examples.
    """

    def __init__(self, loss: LabelLoss) -> None:
        super().__init__()
        self.loss = loss

    def rows(
        self, logits: Tensor, target: Tensor, *, among: Tensor | None = None, label_sets: Tensor | None = None, **_: Any
    ) -> Tensor:
        """The loss of each row `[N L]`."""
        logits, target = as_rows(logits, target)
        if among is None or label_sets is None or len(target) % max(label_sets.numel(), 1):
            name = type(self.loss).__name__
            raise CombinationError(f"{name} is a loss of several labels an example, and these rows are none")
        pair = logits.gather(1, among)
        odds = (pair[:, 1] - pair[:, 0]).view(-1, label_sets.shape[1])
        labels = (target == among[:, 1]).to(odds.dtype).view_as(odds)
        sets = label_sets.to(odds.dtype).repeat(len(odds) // max(len(label_sets), 1), 1)
        return self.loss.entries(odds, labels, sets).flatten()
