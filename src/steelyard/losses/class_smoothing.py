"""Label smoothing that depends on the class."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from steelyard.core.counts import CountsLike, effective
from steelyard.core.errors import ArgumentError
from steelyard.core.loss import Loss, as_rows
from steelyard.losses._checks import check_number
from steelyard.numeric.nll import affine_nll
from steelyard.numeric.precision import as_table
from steelyard.numeric.smoothing import smoothed_head, smoothed_tail

DIRECTIONS = {"head": smoothed_head, "tail": smoothed_tail}


class ClassSmoothing(Loss):
    """Cross-entropy with targets that are smoothed more for large classes, or more for small ones.

    Formula:
        `L = (1 - e_y) (-log p_y) + e_y mean_j(-log p_j)`, `p = softmax(z)`, with
        head: `e_c = min + (max - min) sin(pi/2 (n_c - n_min) / (n_max - n_min))`, or
        tail: `e_c = min + (max - min) (log n_max - log n_c) / (log n_max - log n_min)`

    The two directions are opposites. "head" makes large classes less certain of themselves, which calibrates them. "tail"
    regularises small classes, but also lowers the logit gap they aim for, so look at their recall, and think of
    `LogitAdjusted`.

    Args:
        class_counts: training rows a class `[C]`; a class never seen counts as one row. Where all are equal, e is `minimum`.
        minimum: smallest smoothing, in [0, 1).
        maximum: largest smoothing, in [minimum, 1); equal to minimum it is ordinary smoothing, 0 is cross-entropy.
        direction: "head" or "tail", the end of the distribution that gets `maximum`.
        reduction: "mean", "sum" or "none".

    Shape:
        logits `[N, C]`, target `[N]`, values `[N]`.

    Raises:
        ArgumentError: class_counts are no class sizes, minimum or maximum is out of range, direction is neither word, or
            logits do not have C columns.

    Reference:
        head: Zhong, Cui, Liu, Jia, Improving calibration for long-tailed recognition (MiSLAS), CVPR 2021, where 0.1 and 0.4
        are used in a second stage on CIFAR-100-LT;
        tail: Shwartz-Ziv, Goldblum, Li, Bruss, Wilson, Simplifying neural network training under class imbalance, NeurIPS 2023.

    Departures:
        The mass e is spread over all C classes, the true one included, as in torch (some code spreads it over the others).
        tail: the paper's formula was not found; linear in log n is our choice.

    Example:
        >>> ClassSmoothing([100, 10, 1], 0.0, 0.2, "tail").smoothing.tolist()
        [0.0, 0.1, 0.2]
    """

    smoothing: Tensor

    def __init__(
        self, class_counts: CountsLike, minimum: float, maximum: float, direction: str, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        low = check_number("minimum", minimum, low=0, high=1, open_high=True)
        high = check_number("maximum", maximum, low=low, high=1, open_high=True)
        if direction not in DIRECTIONS:
            raise ArgumentError("direction", "'head' (smooth large classes more) or 'tail' (small ones)", repr(direction))
        self.direction = direction
        self.register_buffer("smoothing", as_table(DIRECTIONS[direction](effective(class_counts), low, high)))

    def rows(self, logits: Tensor, target: Tensor, *, among: Tensor | None = None, **_: Any) -> Tensor:
        """`(1 - e_y) (-log p_y) + e_y mean_j(-log p_j)`, `[N]`; j over `among` `[N, K]` where rows can be of those alone."""
        logits, target = as_rows(logits, target, self.smoothing.shape[0])
        smoothing = self.smoothing.to(logits.dtype)[target]
        if among is not None:
            logits, target = logits.gather(1, among), (among == target[:, None]).long().argmax(1)
        return affine_nll(logits, target, smoothing=smoothing)

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        return f"classes={self.smoothing.shape[0]}, direction={self.direction!r}, {super().extra_repr()}"
