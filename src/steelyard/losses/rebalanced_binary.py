"""Binary cross-entropy with the larger classes thinned to the size of the rarest in every batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.counts import CountsLike, effective
from steelyard.core.loss import Loss, as_rows
from steelyard.core.rows import Clock
from steelyard.core.seeds import generator

SEARCH = {"subsample": "true|false"}


class RebalancedBinary(Loss):
    """Binary cross-entropy in which all classes count alike, the larger ones by a fresh random subset of their rows.

    Formula:
        For two classes, with W the rows of the rarer one in the batch, M those of the other, and M' a uniform subset of M of
        |W| rows, drawn without replacement (all of M where |M| <= |W|): `L = (mean_W l_i + mean_M' l_i) / 2`,
        `l_i = (BCE(z_i0, y_i = 0) + BCE(z_i1, y_i = 1)) / 2`. Where the batch lacks a class, the mean of the other.

    As a value a row, `N l_i / (2 |class|)`, 0 for a row of M that is not in M'; so their mean is L. The mean over subsets is
    the balanced binary cross-entropy, exactly. With C classes: all scores' mean, the mean over the P classes in the batch, each
    thinned to at most as many rows as the rarest of them has.

    Args:
        class_counts: training rows a class `[C]`, which say what is rare. None to go by the rows of each batch.
        subsample: false takes all rows, which is the same on average and has less noise.
        reduction: "mean", "sum" or "none".
        seed: of the subsets.

    Shape:
        logits `[N, C]`, of which sigmoids are taken, target `[N]`, values `[N]`.

    Raises:
        ArgumentError: class_counts are no class sizes; logits or target have another shape.

    Reference:
        Bai, Durand, Vincent, Forbes, Semantic segmentation of sparse irregular point clouds for leaf/wood discrimination,
        NeurIPS 2023.

    Departures:
        The released code is for two classes and thins the leaf class; here it is the one with more training rows. The subset
        depends on the seed and on the step, so that a second pass over a step (SAM) sees the same rows; without a clock, on the
        number of calls.

    Example:
        >>> logits = torch.tensor([[2.0, -2.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
        >>> RebalancedBinary()(logits, torch.tensor([0, 1, 1, 1]))  # (log(1 + e^-2) + log 2) / 2
        tensor(0.4100)
    """

    counts: Tensor | None

    def __init__(
        self, class_counts: CountsLike | None = None, subsample: bool = True, reduction: str = "mean", *, seed: int = 0
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("counts", None if class_counts is None else effective(class_counts))
        self.subsample, self.seed = bool(subsample), int(seed)
        self._calls = 0

    def rows(self, logits: Tensor, target: Tensor, *, clock: Clock | None = None, **_: Any) -> Tensor:
        """`N l_i / (P |class|)`, or 0, `[N]`."""
        logits, target = as_rows(logits, target, None if self.counts is None else len(self.counts))
        classes = logits.shape[1]
        one_hot = F.one_hot(target, classes).to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits, one_hot, reduction="none").mean(1)
        sizes = torch.bincount(target, minlength=classes)
        present = sizes > 0
        counted = sizes
        if self.subsample:
            rarity = sizes if self.counts is None else self.counts
            rarest = torch.where(present, rarity.double(), torch.inf).argmin()
            counted = torch.minimum(sizes, sizes[rarest])
            losses = losses * (self._places(target, sizes, clock) < counted[target])
        return losses * (len(target) / (present.sum() * counted.clamp_min(1)).to(losses.dtype))[target]

    def _places(self, target: Tensor, sizes: Tensor, clock: Clock | None) -> Tensor:
        """The place of each row in a random order of its class `[N]`."""
        order = torch.randperm(len(target), generator=self._stream(clock)).to(target.device)
        order = order[target[order].argsort(stable=True)]
        starts = sizes.cumsum(0) - sizes
        places = torch.empty_like(order)
        places[order] = torch.arange(len(order), device=order.device) - starts[target[order]]
        return places

    def _stream(self, clock: Clock | None) -> torch.Generator:
        if clock is not None:
            return generator(self.seed, "rebalanced", clock.epoch, clock.step)
        self._calls += 1
        return generator(self.seed, "rebalanced", "call", self._calls)

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        return f"subsample={self.subsample}, {super().extra_repr()}"
