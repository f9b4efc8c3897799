"""Every loss of the package at telling settings, made from class counts alone, so that laws can permute and stretch them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from steelyard import losses
from steelyard.core.counts import effective
from steelyard.core.loss import Loss
from steelyard.numeric.margins import power_margins

Maker = Callable[[Sequence[int]], Loss]


def _margins(counts: Sequence[int]) -> Tensor:
    return power_margins(effective(counts), 0.3)


MAKERS: dict[str, Maker] = {
    "ce": lambda counts: losses.CrossEntropy(),
    "la": lambda counts: losses.LogitAdjusted(counts),
    "la tau=2.5": lambda counts: losses.LogitAdjusted(counts, tau=2.5),
    "la tau=-1": lambda counts: losses.LogitAdjusted(counts, tau=-1.0),
    "balanced softmax": lambda counts: losses.BalancedSoftmax(counts),
    "gla": lambda counts: losses.GeneralizedLogitAdjusted(counts),
    "gla q=0.5": lambda counts: losses.GeneralizedLogitAdjusted(counts, q=0.5),
    "gla q=0.9 tau=1": lambda counts: losses.GeneralizedLogitAdjusted(counts, q=0.9, tau=1.0),
    "gca": lambda counts: losses.GeneralizedClassAware(counts),
    "gca margins": lambda counts: losses.GeneralizedClassAware(counts, margins=_margins(counts)),
    "gca q=0.5 margins inverse prior": lambda counts: losses.GeneralizedClassAware(
        counts, q=0.5, margins=_margins(counts), weight="inverse_prior"
    ),
    "gca rows": lambda counts: losses.GeneralizedClassAware(counts, q=0.3, margins=_margins(counts), normalise="rows"),
    "gca classes": lambda counts: losses.GeneralizedClassAware(counts, margins=_margins(counts), normalise="classes"),
    "arb": lambda counts: losses.ARB(counts),
    "arb batch": lambda counts: losses.ARB(),
    "smoothing head": lambda counts: losses.ClassSmoothing(counts, 0.1, 0.4, "head"),
    "smoothing tail": lambda counts: losses.ClassSmoothing(counts, 0.0, 0.3, "tail"),
    "joint nt-xent weight=0": lambda counts: losses.JointNTXent(losses.LogitAdjusted(counts), weight=0.0),
    "joint vicreg weight=0": lambda counts: losses.JointVicreg(losses.Focal(2.0), weight=0.0),
    "ldam": lambda counts: losses.LDAM(counts),
    "ldam scale=4": lambda counts: losses.LDAM(counts, max_margin=0.8, scale=4.0),
    "focal gamma=0": lambda counts: losses.Focal(0.0),
    "focal gamma=0.5": lambda counts: losses.Focal(0.5),
    "focal": lambda counts: losses.Focal(),
    "focal gamma=2": lambda counts: losses.Focal(2.0),
}

PRIVATE_CLASSES = {"Loss", "LabelLoss", "Asymmetric", "DistributionBalanced", "RebalancedBinary", "ArcFace"}
"""Public names of the room that are no loss of one class a row, or (ArcFace) of cosines alone; they have tests of their own."""


def covered() -> set[str]:
    """Names of the classes that the cases go through."""
    return {type(make([3, 1])).__name__ for make in MAKERS.values()}


def logits_and_target(rows: int, classes: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Ordinary scores, and labels."""
    stream = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(rows, classes, generator=stream, dtype=torch.float64)
    return logits.to(dtype), torch.randint(classes, (rows,), generator=stream)
