"""Weights by inverse class frequency."""

from __future__ import annotations

from steelyard.core.counts import CountsLike, effective
from steelyard.core.errors import ArgumentError
from steelyard.core.weighting import ClassTable

SEARCH = {"power": "0.25..1.5"}


class InverseFrequency(ClassTable):
    """A row weighs the less the more rows its class has.

    Formula:
        `w_c` proportional to `n_c^(-power)`, mean 1 over classes

    Args:
        class_counts: training rows a class `[C]`; a class never seen counts as one row.
        power: 0 or more: 0 is uniform, 0.5 square-root, 1 full inverse frequency.

    Attributes:
        class_weights: `[C]`, mean 1.

    Raises:
        ArgumentError: class_counts are no class sizes, or power is negative or not finite.

    Departures:
        Weights of 1 on average over classes, not over rows: see `steelyard.numeric.normalise`.

    Example:
        >>> InverseFrequency([90, 10]).class_weights
        tensor([0.2000, 1.8000])
    """

    def __init__(self, class_counts: CountsLike, power: float = 1.0) -> None:
        if not 0 <= power < float("inf"):
            raise ArgumentError("power", "a finite number, 0 or more", power)
        n = effective(class_counts)
        # Relative sizes, so that no power of a count can underflow before it is divided.
        super().__init__((n / n.min()) ** -power)
        self.power = float(power)

    def extra_repr(self) -> str:
        """Shown by print(weighting)."""
        return f"classes={self.class_weights.shape[0]}, power={self.power}"
