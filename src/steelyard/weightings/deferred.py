"""Re-weighting that begins late in training."""

from __future__ import annotations

from numbers import Integral, Real

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Clock, Evidence
from steelyard.core.weighting import Weighting, check_weighting

SEARCH = {"after": "0.5..0.9"}


class Deferred(Weighting):
    """Weights of exactly 1 until a part of the stage is over, then those of another weighting.

    The wrapped weighting is a submodule: one that prepares, observes or assesses does so from the first step, so that its
    statistics are ready when it begins to count.

    Args:
        weighting: any weighting.
        after: when it begins. A float in [0, 1] is a fraction of the stage's epochs (1.0: never); a whole number of type int
            is a number of epochs. `after=1` is one epoch, `after=1.0` the whole stage. Time is counted in whole epochs, so
            with fewer than five of them 0.8 is never reached.

    Raises:
        ArgumentError: `weighting` is none, or `after` is negative, or a float above 1.

    Reference:
        Cao, Wei, Gaidon, Arechiga, Ma, Learning imbalanced datasets with label-distribution-aware margin loss, NeurIPS 2019:
        after = 0.8 (160 of 200 epochs). The learning rate is cut at the same time there.

    Departures:
        A fraction, where the released code counts `epoch // 160` and fails from epoch 320 on.

    Example:
        >>> from steelyard.core.weighting import Uniform
        >>> late = Deferred(Uniform(), after=0.8)
        >>> late.begun(Clock(epoch=159, epochs=200)), late.begun(Clock(epoch=160, epochs=200))
        (False, True)
    """

    def __init__(self, weighting: Weighting, after: int | float = 0.8) -> None:
        super().__init__()
        self.weighting = check_weighting(weighting)
        self.after = _check_after(after)

    def begun(self, clock: Clock) -> bool:
        """Do the weights count at this time?"""
        return (clock.epoch if isinstance(self.after, int) else clock.fraction) >= self.after

    def forward(self, evidence: Evidence) -> Tensor:
        """Ones, or the wrapped weights `[N]`."""
        if self.begun(evidence.clock):
            weights: Tensor = self.weighting(evidence)
            return weights
        return torch.ones(evidence.target.shape[0], device=evidence.target.device)

    def extra_repr(self) -> str:
        """Shown by print(weighting)."""
        return f"after={self.after}"


def _check_after(after: object) -> int | float:
    """A whole number of epochs as int, a fraction of them as float."""
    if type(after) is not bool and isinstance(after, Integral) and int(after) >= 0:
        return int(after)
    if isinstance(after, Real) and not isinstance(after, Integral) and 0 <= float(after) <= 1:
        return float(after)
    expected = "a fraction of the epochs in [0, 1] of type float, or a whole number of epochs of type int, 0 or more"
    raise ArgumentError("after", expected, repr(after))
