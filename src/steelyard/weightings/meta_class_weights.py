"""One learned weight a class, taught by a meta set: the control for weighting networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from steelyard.core.counts import of_class
from steelyard.core.errors import ArgumentError
from steelyard.core.pool import RowPool
from steelyard.core.rows import Evidence
from steelyard.weightings._taught import Lookahead, Normalise, Taught


class MetaClassWeights(Taught):
    """Weigh a row by a learned number of its class; what a network learns beyond that is its own merit.

    The weight is `exp(t_y)`, divided by its mean over the batch; the numbers `t` `[C]` start at 0, where every row weighs 1,
    and learn exactly as `MetaWeightNet` does.

    Args:
        meta: balanced, clean rows that the model is not trained on.
        num_classes: C.
        normalise: as in `MetaWeightNet`.
        lookahead: as in `MetaWeightNet`.
        lr: of Adam, which moves the numbers, above 0.
        weight_decay: of Adam, 0 or more: pulls the weights towards 1.

    Raises:
        ArgumentError: a value is out of its range.

    Reference:
        A control of ours; a learned weight a class is also the class part of Jamal, Brown, Yang, Wang, Gong: Rethinking
        class-balanced methods for long-tailed visual recognition from a domain adaptation perspective, CVPR 2020.

    Departures:
        none.

    Example:
        >>> from steelyard.data import ResidentSource
        >>> meta = RowPool(ResidentSource(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1])))
        >>> MetaClassWeights(meta, 2).class_weights
        tensor([1., 1.])
    """

    def __init__(
        self,
        meta: RowPool,
        num_classes: int,
        *,
        normalise: Normalise = "batch",
        lookahead: Lookahead | None = None,
        lr: float = 1e-2,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(meta, normalise=normalise, lookahead=lookahead, lr=lr, weight_decay=weight_decay)
        if num_classes < 1:
            raise ArgumentError("num_classes", "at least 1", num_classes)
        self.logs = nn.Parameter(torch.zeros(num_classes))

    @property
    def class_weights(self) -> Tensor:
        """The weights as a table with mean 1 over classes `[C]`."""
        weights = self.logs.detach().exp()
        return weights / weights.mean()

    def raw(self, evidence: Evidence) -> Tensor:
        """`exp(t_y)` `[N]`."""
        return of_class(self.logs, evidence.target).exp()
