"""What the rows of each class weighed in an epoch: the mean weight a class, for logs and plots."""

from __future__ import annotations

import torch
from torch import Tensor

from steelyard.core.objective import Evaluation
from steelyard.core.world import World


class WeightTally:
    """Sums weights by class; never waits for the device.

    Args:
        num_classes: C.
        device: where the evaluations are.

    Attributes:
        sums: share times weight, and share, of each class `[2, C]`.

    Example:
        >>> from steelyard.core.rows import Clock, Rows
        >>> tally = WeightTally(3, torch.device("cpu"))
        >>> rows = Rows(torch.zeros(3, 3), torch.tensor([0, 0, 1]))
        >>> tally.add(Evaluation(rows, torch.ones(3), torch.tensor([1.0, 2.0, 4.0]), 3, Clock()))
        >>> tally.close(World()).tolist()
        [1.5, 4.0, nan]
    """

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self.sums = torch.zeros(2, num_classes, device=device)
        self.used = False

    def add(self, evaluation: Evaluation) -> None:
        """Count the rows of a step; an unweighted step is not counted, as it says nothing."""
        if evaluation.weights is None:
            return
        self.used = True
        weights, share = evaluation.weights.detach().float(), evaluation.rows.share
        share = torch.ones_like(weights) if share is None else share.float()
        self.sums.index_add_(1, evaluation.rows.target, torch.stack([share * weights, share]))

    def close(self, world: World) -> Tensor | None:
        """Mean weight of each class `[C]` over all processes since the last call, NaN where it had no row; None unweighted."""
        if not self.used:
            return None
        total = world.sum(self.sums).cpu()
        self.sums.zero_()
        self.used = False
        return total[0] / total[1]

    def state_dict(self) -> Tensor | None:
        """What a checkpoint in the middle of an epoch keeps."""
        return self.sums.cpu() if self.used else None

    def load_state_dict(self, state: Tensor | None) -> None:
        """Go on from a checkpoint."""
        self.used = state is not None
        if state is not None:
            self.sums.copy_(state)
