"""Mixup: every input of a batch is blended with another one, and counts for both labels by its shares."""

from __future__ import annotations

from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.transforms._mixing import blended, check_alpha, draw_beta, draw_mix, length, refuse_extra, two_rows

SEARCH = {"alpha": "log(0.1..2)"}

__all__ = ["Mixup", "draw_beta"]


class Mixup:
    """Blend each input with a partner from the same batch.

    With lambda ~ Beta(alpha, alpha) and a random permutation p of the batch,

        x'_i = lambda x_i + (1 - lambda) x_p(i)

    and x'_i becomes two rows: the labels of x_i with share lambda, and those of x_p(i) with share 1 - lambda. Any loss and any
    weighting then work on hard labels, each weighted by its own class.

    Inputs may be a tensor or a (nested) mapping of tensors, `[M, ...]` each. Floating point tensors are blended. Integer
    tensors hold categories, which cannot be: each cell is taken from the partner with probability 1 - lambda. Images of bytes
    (uint8) must have been made floating point before.

    A batch whose rows already have owners or shares (a batch mixed before, or with ignored units) is mixed on: the shares
    multiply, and a row of share 0 stays at 0.

    Args:
        alpha: at least 0; 1 draws lambda uniformly, smaller values stay closer to the originals, and 0 changes nothing.
        per_row: draw a lambda for each input instead of one for the batch.

    Shapes:
        inputs `[M, ...]` and N rows to inputs `[M, ...]` and 2N rows; the first N rows are the batch's own, in order.

    Raises:
        ArgumentError: `alpha` negative or not finite; inputs that are not tensors, differ in length, or are uint8.
        CombinationError: the batch carries `extra`, which belongs to rows that would no longer exist.

    Reference:
        Zhang, Cisse, Dauphin, Lopez-Paz. mixup: Beyond Empirical Risk Minimization. ICLR 2018.

    Departures:
        Categorical columns (see above) are ours; the paper has none.

    Example:
        >>> import torch
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.oracle import Oracle
        >>> from steelyard.core.rows import Rows
        >>> oracle = Oracle(torch.nn.Linear(2, 2), lambda m, b: Rows(m(b.inputs)[b.owner], b.target), Objective())
        >>> batch = Mixup()(oracle, Batch(torch.eye(2), torch.tensor([0, 1]), torch.tensor([7, 8])))
        >>> batch.owner, round(batch.share.sum().item(), 5)
        (tensor([0, 1, 0, 1]), 2.0)
    """

    def __init__(self, alpha: float = 1.0, *, per_row: bool = False) -> None:
        self.alpha, self.per_row = check_alpha(alpha), per_row

    def __call__(self, oracle: Oracle, batch: Batch) -> Batch:
        """The mixed batch; draws from `oracle.generator`."""
        if self.alpha == 0:
            return batch
        refuse_extra(batch, "mixup cannot mix")
        stream = oracle.generator
        share, partner = draw_mix(self.alpha, length(batch.inputs), self.per_row, batch, stream)
        return two_rows(batch, share, partner).replace(inputs=blended(batch.inputs, share, partner, stream))

    def __repr__(self) -> str:
        """The settings."""
        return f"Mixup(alpha={self.alpha:g}, per_row={self.per_row})"
