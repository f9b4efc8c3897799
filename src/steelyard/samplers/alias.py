"""Drawing from a discrete distribution in O(1), by the alias method."""

from __future__ import annotations

import torch
from torch import Tensor


class AliasTable:
    """A discrete distribution from which a draw costs two look-ups however many outcomes there are.

    The unit interval is cut into K equal cells; cell k belongs to outcome k up to a threshold and to its alias from there on,
    so that each outcome owns exactly its probability. A binary search in the cumulative distribution is several times slower
    for a hundred outcomes already.

    Args:
        probabilities: of the outcomes `[K]`, float64, >= 0, at least one > 0; they are divided by their sum.

    Reference:
        Walker, 1977; the construction is Vose, "A linear algorithm for generating random numbers with a given
        distribution", 1991.

    Example:
        >>> AliasTable(torch.tensor([0.25, 0.75])).draw(torch.tensor([0.1, 0.3, 0.7], dtype=torch.float64))
        tensor([0, 1, 1])
    """

    def __init__(self, probabilities: Tensor) -> None:
        self.outcomes = len(probabilities)
        scaled = (probabilities.to(torch.float64) * (self.outcomes / float(probabilities.sum()))).tolist()
        self.even = all(abs(value - 1.0) < 1e-12 for value in scaled)
        threshold, alias = _vose(scaled)
        self.threshold = torch.tensor(threshold, dtype=torch.float64)
        self.alias = torch.tensor(alias, dtype=torch.int64)

    def draw(self, uniform: Tensor) -> Tensor:
        """Outcomes `[M]`, int64, for independent uniform numbers in [0, 1) `[M]`, float64."""
        scaled = uniform * self.outcomes
        cell = scaled.to(torch.int64)
        if self.even:
            return cell
        own = scaled.sub_(cell) < self.threshold.index_select(0, cell)
        return torch.where(own, cell, self.alias.index_select(0, cell))


def _vose(scaled: list[float]) -> tuple[list[float], list[int]]:
    """Thresholds and aliases for probabilities times K: each cell is filled up by one outcome that has too much."""
    threshold, alias = [1.0] * len(scaled), list(range(len(scaled)))
    left = list(scaled)
    small = [k for k, value in enumerate(left) if value < 1.0]
    large = [k for k, value in enumerate(left) if value >= 1.0]
    while small and large:
        poor, rich = small.pop(), large[-1]
        threshold[poor], alias[poor] = left[poor], rich
        left[rich] -= 1.0 - left[poor]
        if left[rich] < 1.0:
            small.append(large.pop())
    # What is left is 1 up to rounding, except an outcome of probability 0, which must stay impossible.
    for k in small:
        if scaled[k] == 0.0:
            threshold[k], alias[k] = 0.0, max(range(len(scaled)), key=scaled.__getitem__)
    return threshold, alias
