"""Learning to re-weight: each row weighs as much as its gradient agrees with that of a meta set, anew at every step."""

from __future__ import annotations

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool, check_pool
from steelyard.core.roles import Prepares
from steelyard.core.rows import Batch, Evidence
from steelyard.core.weighting import Weighting
from steelyard.numeric.normalise import divisor
from steelyard.weightings._taught import Lesson, Lookahead


class LearnToReweight(Weighting, Prepares):
    """Weigh a row by `max(0, <grad l_i, grad L_meta>)`, with mean 1 over the batch.

    Both gradients are taken here, before the step: the derivative of the meta loss by a row's weight, at weights of zero. A
    row whose gradient opposes that of the meta batch weighs nothing; where all do, the step is made of momentum and weight
    decay alone. Nothing is remembered from step to step.

    Args:
        meta: balanced, clean rows that the model is not trained on.
        lookahead: `every`, `scope`, `estimator`, `after` and `until` as in `Lookahead`; rows weigh 1 in the steps between two
            lessons. There is no "online" order: the weights are needed before the step.

    Shapes:
        targets `[N]` to weights `[N]`.

    Raises:
        ArgumentError: `meta` is no pool, or `lookahead.order` is "online".

    Reference:
        Ren, Zeng, Yang, Urtasun: Learning to reweight examples for robust deep learning, ICML 2018.

    Departures:
        Weights have mean 1 where the released code sums the losses with weights of sum 1: the same step, since this package
        divides by the number of rows. The meta gradient is that of the cross-entropy alone; the released CIFAR code adds
        weight decay to it. The learning rate and momentum do not matter: they cancel.

    Example:
        >>> from steelyard.data import ResidentSource
        >>> meta = RowPool(ResidentSource(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1])))
        >>> LearnToReweight(meta)(Evidence(target=torch.tensor([0, 1])))  # nothing has been prepared
        tensor([1., 1.])
    """

    def __init__(self, meta: RowPool, *, lookahead: Lookahead | None = None) -> None:
        super().__init__()
        self.meta = check_pool(meta, "meta")
        self.lookahead = Lookahead() if lookahead is None else lookahead
        if self.lookahead.order != "ahead":
            raise ArgumentError("lookahead.order", "'ahead': these weights are needed before the step", "'online'")
        self._given: tuple[Tensor, Tensor] | None = None

    def forward(self, evidence: Evidence) -> Tensor:
        """The weights of the batch that was prepared, 1 for any other `[N]`."""
        if self._given is not None and evidence.target is self._given[0]:
            return self._given[1]
        return torch.ones(evidence.target.shape[0], device=evidence.target.device)

    def prepare(self, oracle: Oracle, batch: Batch) -> None:
        """Weigh the rows of the batch."""
        self._given = None
        if not self.lookahead.due(oracle.clock):
            return
        lesson = Lesson(self.meta, self.lookahead, oracle, batch)
        rows = lesson.keep()
        slopes = lesson.slopes(lesson.params, lesson.judge(None), rows)
        helps = slopes.clamp_min(0)
        scale = lesson.per_mass(rows, helps.dtype)
        total = lesson.world.sum((helps * scale).sum())
        self._given = rows.target, helps / divisor(total)
