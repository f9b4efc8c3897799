"""Where a trained model lost recall, measured and without a formula: to a shift of its scores, to new rows, or to learning.

    1 - recall = (shifted - recall) + (learnt - shifted) + (1 - learnt)

The first part is what the prior and the count bias cost, which adjusting the scores of whole classes gives back. The second
is what is right on training rows and wrong on new ones, after the same shift of both. The third was never learnt.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from steelyard.core.seeds import generator

ROUNDS = 60
"""Of the iterative scaling: it converges linearly."""


@dataclass(frozen=True)
class LostShares:
    """The three parts of each class; each may be negative, and they add up to 1 - recall.

    Args:
        shift: lost to the level of the class' scores `[C]`.
        rows: lost between training rows and new ones, after the shift `[C]`.
        fit: not even right on training rows `[C]`.
    """

    shift: Tensor
    rows: Tensor
    fit: Tensor


def lost_shares(learnt: Tensor, recall: Tensor, shifted: Tensor) -> LostShares:
    """Split what is lost of each class; NaN where one of the three is not known.

    Args:
        learnt: recall on training rows, with the best shift of the scores `[C]`.
        recall: on new rows `[C]`.
        shifted: on new rows, with the best shift of the scores `[C]`.

    Example:
        >>> parts = lost_shares(torch.tensor([1.0]), torch.tensor([0.5]), torch.tensor([0.75]))
        >>> float(parts.shift), float(parts.rows), float(parts.fit)
        (0.25, 0.25, 0.0)
    """
    return LostShares(shifted - recall, learnt - shifted, 1 - learnt)


def balancing_offsets(logits: Tensor, target: Tensor) -> Tensor:
    """Class offsets with which the mean over classes of the cross-entropy is lowest `[C]`, by iterative scaling.

    Args:
        logits: `[N, C]`.
        target: classes `[N]`; classes without rows get offset 0.

    Reference:
        Darroch and Ratcliff: Generalized iterative scaling for log-linear models, Annals of Mathematical Statistics 43, 1972.

    Example:
        >>> logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.5, 0.0]])
        >>> offsets = balancing_offsets(logits, torch.tensor([0, 0, 0, 1]))
        >>> bool(offsets[1] > offsets[0])
        True
    """
    scores = logits.double()
    counts = torch.bincount(target, minlength=scores.shape[1]).double()
    seen = counts > 0
    weight = (1 / counts)[target][:, None]
    offsets = scores.new_zeros(scores.shape[1])
    for _ in range(ROUNDS):
        mass = (torch.softmax(scores + offsets, 1) * weight).sum(0)
        offsets = offsets + torch.where(seen, -mass.clamp_min(1e-30).log(), 0.0)
    return offsets


def shifted_recall(logits: Tensor, target: Tensor, *, seed: int = 0) -> Tensor:
    """Recall of each class once the scores of whole classes are shifted to suit balanced accuracy `[C]`.

    The rows are cut in two halves, and the offsets for each come from the other, so that no row chooses its own.

    Args:
        logits: of rows that were not trained on `[N, C]`.
        target: their classes `[N]`. A class with one row gives NaN.
        seed: of the halves.
    """
    classes = logits.shape[1]
    half = _halves(target, classes, seed)
    right = torch.zeros(classes, dtype=torch.float64)
    for side in (False, True):
        own, other = half == side, half != side
        if not own.any() or not other.any():
            continue
        decided = (logits[own].double() + balancing_offsets(logits[other], target[other])).argmax(1)
        right += torch.bincount(target[own][decided == target[own]], minlength=classes)
    rows = torch.bincount(target, minlength=classes).double()
    return torch.where(rows > 1, right / rows, torch.nan)


def _halves(target: Tensor, classes: int, seed: int) -> Tensor:
    """Half of each row, every class in both as evenly as can be."""
    order = torch.randperm(len(target), generator=generator(seed, "shifts"))
    by_class = order[torch.argsort(target[order], stable=True)]
    first = torch.bincount(target, minlength=classes).cumsum(0).roll(1)
    first[0] = 0
    half = torch.empty(len(target), dtype=torch.bool)
    half[by_class] = (torch.arange(len(target)) - first[target[by_class]]) % 2 == 1
    return half
