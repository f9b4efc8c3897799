"""Label-distribution-aware margins."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from steelyard.core.counts import CountsLike, effective
from steelyard.core.errors import ArgumentError
from steelyard.core.loss import Loss, as_rows
from steelyard.losses._checks import check_number
from steelyard.numeric.margins import ldam_margins
from steelyard.numeric.nll import affine_nll
from steelyard.numeric.precision import as_table

SEARCH = {"max_margin": "0.1..0.9", "scale": "log(10..60)"}


class LDAM(Loss):
    """Cross-entropy of scaled cosines in which the true class must win by a margin, larger for rarer classes.

    Formula:
        `L = -log softmax(s (z - m_y e_y))_y`, `m_c = K / n_c^(1/4)` with K such that `max_c m_c = max_margin`

    The logits must be cosines, as `steelyard.nets.NormedLinear` gives them; the loss scales them itself. Decide by
    `argmax z`. LDAM-DRW is this loss with the weighting `Deferred(EffectiveNumber(class_counts, beta=0.9999), after=0.8)`.

    Args:
        class_counts: training rows a class `[C]`; a class never seen counts as one row (and so has the largest margin).
        max_margin: the margin of the rarest class, in cosines, 0 or more; 0 is a scaled cosine softmax.
        scale: s, above 0; cosines lie in [-1, 1], so without it the softmax cannot become certain.
        reduction: "mean", "sum" or "none".

    Shape:
        cosines `[N, C]`, target `[N]`, values `[N]`.

    Raises:
        ArgumentError: class_counts are no class sizes, max_margin < 0, scale <= 0, or logits do not have C columns.

    Reference:
        Cao, Wei, Gaidon, Arechiga, Ma, Learning imbalanced datasets with label-distribution-aware margin loss, NeurIPS 2019.

    Departures:
        A class never seen has a margin; the released code divides by zero.

    Example:
        >>> import torch
        >>> LDAM([16, 1], max_margin=0.5).margins.tolist()
        [0.25, 0.5]
    """

    margins: Tensor

    def __init__(self, class_counts: CountsLike, max_margin: float = 0.5, scale: float = 30.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.max_margin = check_number("max_margin", max_margin, low=0)
        self.scale = check_number("scale", scale, low=0)
        if self.scale == 0:
            raise ArgumentError("scale", "above 0", scale)
        self.register_buffer("margins", as_table(ldam_margins(effective(class_counts), self.max_margin)))

    def rows(self, logits: Tensor, target: Tensor, **_: Any) -> Tensor:
        """`-log softmax(s (z - m_y e_y))_y` of cosines z, `[N]`."""
        logits, target = as_rows(logits, target, self.margins.shape[0])
        margin = (self.scale * self.margins).to(logits.dtype)[target]
        return affine_nll(logits, target, scale=self.scale, margin=margin)

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        return f"classes={self.margins.shape[0]}, max_margin={self.max_margin}, scale={self.scale}, {super().extra_repr()}"
