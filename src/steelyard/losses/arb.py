"""Attraction-repulsion balanced loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from steelyard.core.counts import CountsLike, prior
from steelyard.core.errors import ArgumentError
from steelyard.core.loss import Loss, as_rows
from steelyard.numeric.nll import affine_nll
from steelyard.numeric.precision import as_table


class ARB(Loss):
    """Cross-entropy in which a class pushes others away as strongly as it has rows, by default in the batch at hand.

    Formula:
        `L = -log( exp(z_y) / sum_j (k_j / k_y) exp(z_j) )`, k_j the rows of class j; decide by `argmax z`

    With the counts of the training split this is Balanced Softmax. With the counts of the batch it is Balanced Softmax over
    the classes in the batch: a class that is absent (k_j = 0) gets no gradient at all, so it is never pushed away, and in
    small batches rare classes are absent most of the time. A batch of a single class has loss 0.

    Args:
        class_counts: rows a class `[C]`, a class never seen counting as one row; None for the counts of each batch.
        reduction: "mean", "sum" or "none".

    Shape:
        logits `[N, C]`, target `[N]`, values `[N]`. Without class_counts, `rows` and a call take `batch_counts` `[C]`, to
        be used instead of the counts of these rows: the sum over processes, or the counts of the whole batch where rows are
        looked at one at a time. They must count the rows given.

    Raises:
        ArgumentError: class_counts are no class sizes, logits do not have C columns, or batch_counts have another length.

    Reference:
        Xie, Yang, Cai, He, Class-imbalanced semantic segmentation and classification with attraction-repulsion balanced loss,
        Neurocomputing 527, 2023 (released code).

    Departures:
        Logsumexp instead of exponentials of logits clamped to [-30, 30], whose gradients are zero beyond.
        Rows with share 0 are counted: drop them beforehand where there are many.

    Example:
        >>> import torch
        >>> logits = torch.zeros(3, 3, requires_grad=True)
        >>> ARB()(logits, torch.tensor([0, 0, 1])).backward()
        >>> logits.grad[:, 2]  # class 2 is absent
        tensor([0., 0., 0.])
    """

    shift: Tensor | None

    def __init__(self, class_counts: CountsLike | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("shift", None if class_counts is None else as_table(prior(class_counts).log()))

    def rows(self, logits: Tensor, target: Tensor, *, batch_counts: Tensor | None = None, **_: Any) -> Tensor:
        """`-log softmax(z + log k)_y`, `[N]`."""
        logits, target = as_rows(logits, target, None if self.shift is None else self.shift.shape[0])
        if self.shift is not None:
            return affine_nll(logits, target, shift=self.shift.to(logits.dtype))
        if batch_counts is None:
            # Not bincount, which would wait for the device to learn its length.
            batch_counts = logits.new_zeros(logits.shape[1]).scatter_add(0, target, torch.ones_like(target, dtype=logits.dtype))
        elif batch_counts.shape != logits.shape[1:]:
            raise ArgumentError("batch_counts", f"rows a class, [{logits.shape[1]}]", list(batch_counts.shape))
        return affine_nll(logits, target, shift=batch_counts.to(logits.dtype).log())

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        return f"counts={'batch' if self.shift is None else 'given'}, {super().extra_repr()}"
