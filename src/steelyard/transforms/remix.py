"""Remix: inputs are blended as in mixup, and labels with more weight on the rarer class."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from steelyard.core.counts import CountsLike, effective, of_class
from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.transforms._leaves import refuse_label_sets
from steelyard.transforms._mixing import blended, check_alpha, draw_mix, length, refuse_extra, two_rows

SEARCH = {"alpha": "log(0.1..2)", "rule": "remix|mamix", "ratio": "1.5..10", "threshold": "0..1", "power": "-1..0"}
Rule = Literal["remix", "mamix"]


def remix_share(share: Tensor, own: Tensor, other: Tensor, *, ratio: float, threshold: float) -> Tensor:
    """The label share of a class in a blend, by Remix.

    Args:
        share: share of its input, in [0, 1], any shape.
        own: rows of the class, above 0, same shape.
        other: rows of the class that it is blended with.
        ratio: k, above 1: how many times more rows make a class the larger one.
        threshold: t in [0, 1]: below this share of the input the larger class loses its label.

    Example:
        >>> share, own, other = torch.tensor([0.3, 0.3, 0.7]), torch.tensor([300.0, 10, 10]), torch.tensor([10.0, 300, 300])
        >>> remix_share(share, own, other, ratio=3, threshold=0.5)
        tensor([0.0000, 0.3000, 1.0000])
    """
    larger, smaller = own >= ratio * other, other >= ratio * own
    kept = torch.where(larger & (share < threshold), 0.0, share)
    return torch.where(smaller & (1 - share < threshold), 1.0, kept)


def mamix_share(share: Tensor, own: Tensor, other: Tensor, *, power: float) -> Tensor:
    """The label share of a class in a blend, by MAMix: one half where the input is as far from it as its margin.

    Args:
        share: share of its input, in [0, 1], any shape.
        own: rows of the class, above 0, same shape.
        other: rows of the class that it is blended with.
        power: r, finite; margins go as n^r, so a negative power gives rarer classes the larger one.

    Example:
        >>> share, own, other = torch.tensor([0.5, 0.7, 0.7]), torch.tensor([100.0, 5000, 50]), torch.tensor([100.0, 50, 5000])
        >>> mamix_share(share, own, other, power=-0.25).round(decimals=3)
        tensor([0.5000, 0.4610, 0.8030])
    """
    margin = torch.sigmoid(power * (own.log() - other.log())).clamp(1e-6, 1 - 1e-6).to(share.dtype)
    away = 1 - share
    return torch.where(away < margin, 1 - 0.5 * away / margin, 0.5 * share / (1 - margin))


class Remix(nn.Module):
    """Blend each input with a partner from the same batch, and give the rarer of the two classes more of the label.

    Inputs are those of `Mixup`, number for number. With lambda the share of x_i in the input and n the class sizes, the label
    of x_i gets the share

        remix   0 where n_i >= k n_j and lambda < t;  1 where n_j >= k n_i and 1 - lambda < t;  else lambda
        mamix   1 - (1 - lambda) / (2 m) where 1 - lambda < m, else lambda / (2 (1 - m)),   m = n_i^r / (n_i^r + n_j^r)

    and that of its partner the rest. Where both classes are of one size, both rules are mixup.

    Args:
        class_counts: training rows per class `[C]`; a class without rows counts as one of one row.
        alpha: at least 0; lambda is drawn from Beta(alpha, alpha), and 0 changes nothing.
        rule: "remix" or "mamix".
        ratio: k of remix, above 1; infinity is mixup.
        threshold: t of remix, in [0, 1]; 0 is mixup.
        power: r of mamix, finite; 0 is mixup.
        per_row: draw a lambda for each input instead of one for the batch.

    Shapes:
        inputs `[M, ...]` and M rows to inputs `[M, ...]` and 2M rows; the first M rows are the batch's own, in order.

    Raises:
        ArgumentError: a value out of its range; inputs that `Mixup` refuses.
        CombinationError: the batch carries `extra`, or was mixed before, so that an input has no single class.

    Reference:
        Chou, Chang, Pan, Wei, Juan: Remix: rebalanced mixup, ECCV 2020 workshops; MAMix: Cheng, Mai, Lin: From SMOTE to mixup
        for deep imbalanced classification, TAAI 2023.

    Departures:
        remix: none. mamix: the released code writes 1 - lambda for our lambda, which has the same distribution, and fails
        where it is exactly the margin; here both halves meet there.

    Example:
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> forward, draws = lambda m, b: Rows(m(b.inputs)[b.owner], b.target), torch.Generator().manual_seed(0)
        >>> oracle = Oracle(nn.Linear(2, 2), forward, Objective(), draws=draws)
        >>> batch = Remix([90, 10], threshold=1.0)(oracle, Batch(torch.eye(2), torch.tensor([1, 0]), torch.tensor([7, 8])))
        >>> batch.target[batch.share > 0].unique()
        tensor([1])
    """

    class_counts: Tensor

    def __init__(
        self,
        class_counts: CountsLike,
        alpha: float = 1.0,
        *,
        rule: Rule = "remix",
        ratio: float = 3.0,
        threshold: float = 0.5,
        power: float = -0.25,
        per_row: bool = False,
    ) -> None:
        super().__init__()
        if rule not in get_args(Rule):
            raise ArgumentError("rule", " or ".join(map(repr, get_args(Rule))), repr(rule))
        if not ratio > 1:
            raise ArgumentError("ratio", "above 1", ratio)
        if not 0 <= threshold <= 1:
            raise ArgumentError("threshold", "in [0, 1]", threshold)
        if not abs(power) < float("inf"):
            raise ArgumentError("power", "a finite number", power)
        self.alpha, self.rule, self.per_row = check_alpha(alpha), rule, per_row
        self.ratio, self.threshold, self.power = float(ratio), float(threshold), float(power)
        self.register_buffer("class_counts", effective(class_counts), persistent=False)

    def forward(self, oracle: Oracle, batch: Batch) -> Batch:
        """The mixed batch; draws from `oracle.generator`."""
        if self.alpha == 0:
            return batch
        refuse_extra(batch, "remix cannot mix")
        refuse_label_sets(batch.inputs, "remix goes by the class of each input")
        if batch.owner is not None:
            raise CombinationError("remix cannot mix a batch that was mixed before: its inputs have no single class")
        stream = oracle.generator
        share, partner = draw_mix(self.alpha, length(batch.inputs), self.per_row, batch, stream)
        mixed = two_rows(batch, self._label_share(share, batch.target, partner), partner)
        return mixed.replace(inputs=blended(batch.inputs, share, partner, stream))

    def _label_share(self, share: Tensor, target: Tensor, partner: Tensor) -> Tensor:
        own = of_class(self.class_counts.to(target.device), target)
        other = own[partner]
        if self.rule == "mamix":
            return mamix_share(share, own, other, power=self.power)
        return remix_share(share, own, other, ratio=self.ratio, threshold=self.threshold)

    def extra_repr(self) -> str:
        """The settings."""
        return f"alpha={self.alpha:g}, rule={self.rule}, per_row={self.per_row}"
