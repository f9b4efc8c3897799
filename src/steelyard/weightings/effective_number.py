"""Class-balanced weights."""

from __future__ import annotations

from steelyard.core.counts import CountsLike, effective
from steelyard.core.errors import ArgumentError
from steelyard.core.weighting import ClassTable
from steelyard.numeric.effective_number import effective_number

SEARCH = {"beta": "0.9|0.99|0.999|0.9999"}


class EffectiveNumber(ClassTable):
    """Inverse frequency in which further rows of a large class count for less and less, as they repeat what is known.

    Formula:
        `w_c` proportional to `(1 - beta) / (1 - beta^(n_c))`, mean 1 over classes

    Args:
        class_counts: training rows a class `[C]`; a class never seen counts as one row.
        beta: in [0, 1]; 0 is uniform, 1 is inverse frequency (the limit).

    Attributes:
        class_weights: `[C]`, mean 1.

    Raises:
        ArgumentError: class_counts are no class sizes, or beta is outside [0, 1].

    Reference:
        Cui, Jia, Lin, Song, Belongie, Class-balanced loss based on effective number of samples, CVPR 2019.

    Departures:
        beta = 1 is allowed. Computed with expm1 and log1p, so that beta may be as close to 1 as floating point allows.

    Example:
        >>> EffectiveNumber([90, 10], beta=0.0).class_weights
        tensor([1., 1.])
    """

    def __init__(self, class_counts: CountsLike, beta: float = 0.9999) -> None:
        if not 0 <= beta <= 1:
            raise ArgumentError("beta", "in [0, 1]", beta)
        super().__init__(1 / effective_number(effective(class_counts), float(beta)))
        self.beta = float(beta)

    def extra_repr(self) -> str:
        """Shown by print(weighting)."""
        return f"classes={self.class_weights.shape[0]}, beta={self.beta}"
