"""Additive angular margin. Private, as no word: `loss=...` alone would train a classifier that gives no cosines."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from steelyard.core.counts import CountsLike, effective
from steelyard.core.errors import ArgumentError
from steelyard.core.loss import Loss, as_rows
from steelyard.losses._checks import check_number
from steelyard.numeric.margins import ldam_margins
from steelyard.numeric.nll import affine_nll
from steelyard.numeric.precision import as_table

EDGE = 1e-6
"""Cosines are kept this far from 1 and -1, where the angle has no derivative."""


class ArcFace(Loss):
    """Cross-entropy of scaled cosines in which the true class must win by an angle.

    Formula:
        `L = -log softmax(s z')_y`, `z'_j = z_j = cos(t_j)` but `z'_y = cos(t_y + m_y)`; where `t_y + m_y` is beyond pi,
        `z'_y = z_y - m_y sin(m_y)`, so that a smaller angle is always better. Decide by `argmax z`

    The logits must be cosines, as `steelyard.nets.NormedLinear` gives them; the loss scales them itself.

    Args:
        margin: the angle in radians, in [0, pi / 2]; 0 is a scaled cosine softmax.
        scale: s, above 0.
        class_counts: training rows a class `[C]`: margins then fall with `n_c^(-1/4)`, as in LDAM, and `margin` is that of the
            rarest class; None for the same margin for all.
        reduction: "mean", "sum" or "none".

    Shape:
        cosines `[N, C]`, target `[N]`, values `[N]`.

    Raises:
        ArgumentError: a number out of range, class_counts are no class sizes, or logits do not have C columns.

    Reference:
        Deng, Guo, Xue, Zafeiriou: ArcFace: additive angular margin loss for deep face recognition, CVPR 2019.

    Departures:
        `scale` is 30 (64 in the paper, for a hundred times as many classes). Margins by class size are ours.

    Example:
        >>> cosines = torch.tensor([[0.5, 0.1]])
        >>> bool(ArcFace()(cosines, torch.tensor([0])) > ArcFace(margin=0.0)(cosines, torch.tensor([0])))
        True
    """

    margins: Tensor | None

    def __init__(
        self, margin: float = 0.5, scale: float = 30.0, class_counts: CountsLike | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.margin = check_number("margin", margin, low=0, high=math.pi / 2)
        self.scale = check_number("scale", scale, low=0)
        if self.scale == 0:
            raise ArgumentError("scale", "above 0", scale)
        table = None if class_counts is None else as_table(ldam_margins(effective(class_counts), self.margin))
        self.register_buffer("margins", table)

    def rows(self, logits: Tensor, target: Tensor, **_: Any) -> Tensor:
        """`-log softmax(s z')_y` of cosines z, `[N]`."""
        logits, target = as_rows(logits, target, None if self.margins is None else len(self.margins))
        own = logits.gather(1, target[:, None])[:, 0].clamp(EDGE - 1, 1 - EDGE)
        angle = torch.full_like(own, self.margin) if self.margins is None else self.margins.to(own.dtype)[target]
        moved = own * angle.cos() - (1 - own.square()).sqrt() * angle.sin()
        moved = torch.where(own > -angle.cos(), moved, own - angle * angle.sin())
        taken = self.scale * (logits.gather(1, target[:, None])[:, 0] - moved)
        return affine_nll(logits, target, scale=self.scale, margin=taken)

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        by = "all" if self.margins is None else f"{len(self.margins)} classes"
        return f"margin={self.margin} ({by}), scale={self.scale}, {super().extra_repr()}"
