"""Splits of examples with several labels each: every label is shared out among the parts as the examples are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import derive


def stratify(labels: Tensor, fractions: Sequence[float], *, seed: int = 0) -> list[Tensor]:
    """Cut examples into parts by iterative stratification.

    The rarest label that is left is dealt out first: each example that has it goes to the part that still wants most of that
    label, of equals to the one that wants most examples, of equals to one by chance. Examples without labels fill the parts up.
    Then a part lacking a label that at least two examples of others have is given one of them.

    Args:
        labels: `[N, L]`, 1 for present; everything else counts as absent.
        fractions: of each part, 0 or more, adding up to 1.
        seed: of the order of examples, and of ties.

    Returns:
        Row numbers of each part, ascending.

    Raises:
        ArgumentError: not two-dimensional, or fractions that are negative or do not add up to 1.

    Reference:
        Sechidis, Tsoumakas, Vlahavas: On the stratification of multi-label data, ECML PKDD 2011.

    Departures:
        The last step, so that labels of few examples can be judged at all.

    Example:
        >>> labels = torch.tensor([[1.0, 0.0]] * 8 + [[0.0, 1.0]] * 4)
        >>> [labels[part].sum(0).tolist() for part in stratify(labels, (0.75, 0.25))]
        [[6.0, 3.0], [2.0, 1.0]]
    """
    if labels.ndim != 2:
        raise ArgumentError("labels", "of shape [N, L]", f"shape {list(labels.shape)}")
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or len(shares) == 0 or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise ArgumentError("fractions", "numbers of 0 or more that add up to 1", tuple(fractions))
    present = (labels == 1).numpy()
    draws = np.random.default_rng(derive(seed, "stratify"))
    part = _dealt(present, shares, draws)
    _give_each_label(present, part, shares)
    return [torch.from_numpy(np.flatnonzero(part == number)) for number in range(len(shares))]


def _dealt(present: np.ndarray, shares: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """The part of each example `[N]`."""
    examples = len(present)
    wanted = shares * examples
    by_label = shares[:, None] * present.sum(0)
    noise = draws.random((examples, len(shares)))
    order = draws.permutation(examples)
    part = np.full(examples, -1)
    left = present.sum(0)
    while left.max(initial=0) > 0:
        label = int(np.where(left > 0, left, examples + 1).argmin())
        for row in order[(present[order, label]) & (part[order] < 0)]:
            chosen = int(np.lexsort((noise[row], wanted, by_label[:, label]))[-1])
            part[row] = chosen
            wanted[chosen] -= 1
            by_label[chosen] -= present[row]
            left = left - present[row]
    rest = order[part[order] < 0]
    for row in rest:
        chosen = int(np.lexsort((noise[row], wanted))[-1])
        part[row] = chosen
        wanted[chosen] -= 1
    return part


def _give_each_label(present: np.ndarray, part: np.ndarray, shares: np.ndarray) -> None:
    """Give a part that lacks a label an example of it, from the part that has most of them, and no other label its last one."""
    parts = np.flatnonzero(shares > 0)
    counts = np.stack([present[part == number].sum(0) for number in range(len(shares))])
    for label in np.argsort(present.sum(0), kind="stable"):
        for poor in parts[counts[parts, label] == 0]:
            rich = int(counts[:, label].argmax())
            if counts[rich, label] < 2:
                continue
            rows = np.flatnonzero(present[:, label] & (part == rich))
            spared = (~present[rows] | (counts[rich] >= 2)).all(1)
            if not spared.any():
                continue
            row = rows[spared][present[rows[spared]].sum(1).argmin()]
            part[row] = poor
            counts[rich] -= present[row]
            counts[poor] += present[row]
