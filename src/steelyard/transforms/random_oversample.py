"""Random over-sampling inside a batch: rare classes are filled up with repetitions of their rows."""

from __future__ import annotations

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.transforms._leaves import each, is_number, joined, leaves, pick, refuse_label_sets


class RandomOversample:
    """Fill up every class of the batch to the size of its largest one, by repeating rows.

    With n_c the rows of class c in the batch, `ceil(ratio max_k n_k) - n_c` copies are added (none where that is negative),
    each of a row drawn evenly from those of the class. A class that the batch lacks stays absent: where classes are rarer than
    one row a batch, `BalancedSampler` is what balances them. The copies stand behind the batch, and each counts like its
    original; ignored rows (share 0) are neither counted nor repeated.

    The step costs as much as the batch has grown: up to as many times as it holds classes. The new size depends on the labels,
    so a GPU is waited for once a step.

    Args:
        ratio: how far classes are filled up, as a share of the largest, in [0, 1]; 0 adds nothing.
        noise: standard deviation of Gaussian noise on the floating-point numbers of the copies, in units of each number's
            own standard deviation over the batch, 0 or more. Categories are never changed.

    Shapes:
        N inputs and rows to N + K inputs and rows; the first N are the batch's own.

    Raises:
        ArgumentError: a value out of its range, or inputs that are no tensors of one length.
        CombinationError: the batch carries `extra`, or was mixed before, so that an input has no single class.

    Reference:
        Classical. With noise: Menardi, Torelli: Training and assessing classification rules with imbalanced data (ROSE),
        Data Mining and Knowledge Discovery 2014.

    Departures:
        Within the batch, where the classical form repeats rows of the data set before training. ROSE smooths every row and
        sets the width for each class; here originals stay as they are, and the width is one setting.

    Example:
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> oracle = Oracle(torch.nn.Linear(1, 2), lambda m, b: Rows(m(b.inputs), b.target), Objective())
        >>> batch = Batch(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0, 0, 1]), torch.tensor([7, 8, 9]))
        >>> RandomOversample()(oracle, batch).index
        tensor([7, 8, 9, 9])
    """

    def __init__(self, ratio: float = 1.0, *, noise: float = 0.0) -> None:
        if not 0 <= ratio <= 1:
            raise ArgumentError("ratio", "in [0, 1]", ratio)
        if not 0 <= noise < float("inf"):
            raise ArgumentError("noise", "a finite number, 0 or more", noise)
        self.ratio, self.noise = float(ratio), float(noise)

    def __call__(self, oracle: Oracle, batch: Batch) -> Batch:
        """The filled-up batch; draws from `oracle.generator`."""
        if self.ratio == 0:
            return batch
        if batch.owner is not None:
            raise CombinationError("random-oversample cannot repeat rows of a batch that was mixed before: mix it afterwards")
        if batch.extra:
            named = ", ".join(f"'{name}'" for name in batch.extra)
            raise CombinationError(f"random-oversample cannot repeat rows of a batch that carries {named} beside them")
        leaves(batch.inputs)  # checks them
        again = self._copies(batch, oracle.generator)
        if len(again) == 0:
            return batch
        copies = pick(batch.inputs, again)
        if self.noise > 0:
            refuse_label_sets(batch.inputs, "random-oversample with noise shakes all numbers of an input")
            copies = each(lambda copy, whole: self._shaken(copy, whole, oracle.generator), copies, batch.inputs)
        return batch.replace(
            inputs=joined(batch.inputs, copies),
            target=torch.cat([batch.target, batch.target[again]]),
            index=torch.cat([batch.index, batch.index[again]]),
            share=None if batch.share is None else torch.cat([batch.share, batch.share[again]]),
        )

    def _copies(self, batch: Batch, stream: torch.Generator) -> Tensor:
        """Which rows are repeated, as often as they are named."""
        target = batch.target
        counted = torch.arange(len(target), device=target.device)
        if batch.share is not None:
            counted = counted[batch.share > 0]
        if len(counted) == 0:
            return counted
        ordered = counted[torch.argsort(target[counted], stable=True)]
        sizes = torch.unique_consecutive(target[ordered], return_counts=True)[1]
        lacking = ((sizes.max() * self.ratio).ceil().long() - sizes).clamp_min(0)
        label = torch.repeat_interleave(lacking)
        first = (sizes.cumsum(0) - sizes)[label]
        uniform = torch.rand(len(label), generator=stream, device=stream.device, dtype=torch.float64).to(target.device)
        return ordered[first + (uniform * sizes[label]).long()]

    def _shaken(self, copy: Tensor, whole: Tensor, stream: torch.Generator) -> Tensor:
        if not is_number(copy):
            return copy
        width = whole.std(0, correction=0) * self.noise
        draw = torch.randn(copy.shape, generator=stream, device=stream.device).to(copy.device, copy.dtype)
        return copy + width * draw

    def __repr__(self) -> str:
        """The settings."""
        return f"RandomOversample(ratio={self.ratio:g}, noise={self.noise:g})"
