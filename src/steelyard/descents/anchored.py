"""A second, balanced term in the gradient: the cross-entropy of a meta set."""

from __future__ import annotations

from torch import nn

from steelyard.core.descent import Descent, plain
from steelyard.core.errors import ArgumentError
from steelyard.core.loss import CrossEntropy
from steelyard.core.objective import Evaluation
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool, check_pool
from steelyard.core.rows import Batch


class Anchored(nn.Module):
    """The gradient of another descent, plus that of the cross-entropy of rows from a pool.

    Formula:
        `g = g_descent + strength * grad mean CE(pool batch)`

    The pool's rows are not weighted and get no other loss: it is the set that is balanced already. Statistics of BatchNorm
    count the training batch alone. The evaluation that comes back, and with it the training loss in logs, is the descent's own.

    Args:
        pool: rows to draw a batch of at each step.
        strength: 0 or more; at 0 no batch is drawn.
        descent: what the term is added to.

    Raises:
        ArgumentError: `pool` is none, or `strength` is negative or not finite.

    Reference:
        Guo et al., Learning to re-weight examples with optimal transport for imbalanced classification, NeurIPS 2022: the
        released code adds 10 times the mean cross-entropy of the whole meta set to a sum over the batch.

    Departures:
        Added to the mean over the batch, so a strength of 10 is there 10 / (rows a batch) here. A batch of the pool, there the
        whole meta set; the same where the pool's `batch_size` is its number of rows. The released code lets BatchNorm count
        the meta set too.

    Example:
        >>> import torch
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> from steelyard.data import ResidentSource
        >>> model = torch.nn.Linear(2, 2)
        >>> oracle = Oracle(model, lambda m, b: Rows(m(b.inputs), b.target), Objective())
        >>> meta = RowPool(ResidentSource(torch.eye(2), torch.tensor([0, 1])))
        >>> batch = Batch(torch.ones(3, 2), torch.zeros(3, dtype=torch.int64), torch.arange(3))
        >>> Anchored(meta, strength=0.5)(oracle, batch).mass, model.weight.grad.shape
        (3, torch.Size([2, 2]))
    """

    def __init__(self, pool: RowPool, strength: float = 10.0, descent: Descent = plain) -> None:
        super().__init__()
        if not 0 <= strength < float("inf"):
            raise ArgumentError("strength", "a finite number, 0 or more", strength)
        self.pool, self.strength, self.descent = check_pool(pool, "pool"), float(strength), descent
        self.loss = CrossEntropy()

    def forward(self, oracle: Oracle, batch: Batch) -> Evaluation:
        """Fill `.grad`."""
        evaluation = self.descent(oracle, batch)
        if self.strength > 0:
            rows = oracle.rows(self.pool.batch(oracle), probe=True)
            (self.strength * self.loss(rows.logits, rows.target)).backward()
        return evaluation

    def extra_repr(self) -> str:
        """Shown by print(descent)."""
        return f"rows={len(self.pool)}, strength={self.strength:g}"
