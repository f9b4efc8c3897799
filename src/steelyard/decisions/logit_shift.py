"""Move the decision to rarer classes after training: subtract tau times the log-prior."""

from __future__ import annotations

import math

from torch import Tensor, nn

from steelyard.core.counts import CountsLike, prior
from steelyard.core.loss import check_classes, upcast
from steelyard.decisions._arrays import as_number


class LogitShift(nn.Module):
    """Post-hoc logit adjustment: decide by `argmax_y z_y - tau * log pi_y`.

    With scores that estimate P(y | x), tau = 1 decides by P(y | x) / pi_y, which is best for balanced accuracy.

    Args:
        class_counts: training rows per class `[C]`; a class that was never seen counts as one row.
        tau: strength, 0 or more; 0 leaves the scores as they are.

    Shape:
        scores `[N, C]` to scores `[N, C]`, at least float32.

    Raises:
        ArgumentError: `tau` is negative or not finite, or the scores have not C columns.

    Reference:
        Menon, Jayasumana, Rawat, Jain, Veit, Kumar: Long-tail learning via logit adjustment, ICLR 2021.

    Departures:
        The released code adds 1e-12 to the prior before the logarithm; here a class never seen counts as one row.

    Example:
        >>> import torch
        >>> LogitShift([90, 10])(torch.tensor([[1.0, 0.0]])).argmax(1)
        tensor([1])
    """

    shift: Tensor

    def __init__(self, class_counts: CountsLike, tau: float = 1.0) -> None:
        super().__init__()
        self.tau = tau = as_number(tau, "tau", "a finite number, 0 or more", lambda value: 0 <= value < math.inf)
        self.register_buffer("shift", (-tau * prior(class_counts).log()).float())

    def forward(self, logits: Tensor) -> Tensor:
        """Shifted scores `[N, C]`."""
        check_classes(logits, len(self.shift))
        return upcast(logits) + self.shift

    def extra_repr(self) -> str:
        """Shown by print(decision)."""
        return f"tau={self.tau}"
