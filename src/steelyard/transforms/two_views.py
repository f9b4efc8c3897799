"""Two views of every input, for losses that compare them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.core.task import Source
from steelyard.transforms._leaves import each, joined, leaves

Augmentation = Callable[[Any, torch.Generator], Any]


class TwoViews:
    """Put a second view of every input behind the batch.

    The second half of the new batch is the first one seen again: another augmentation of the same row, with some of its cells
    exchanged for those of other rows. Its rows have share 0, so that the loss of labels is that of the first view alone, and
    `extra["views"] = 2` tells a loss such as `JointNTXent` that row i and row N + i are views of one row.

    The second view is made in three steps, each of which can be left out:

        read again      the row as the source holds it, through the regime's augmentation once more (`source`)
        augmented       by a function of yours (`augment`)
        corrupted       each cell, with probability `rate`, takes its value from a random row of the batch; categories too

    Without a source the second view starts from the first. The model sees both views in one pass, so BatchNorm takes its
    statistics over both.

    Args:
        rate: share of cells that are exchanged, in [0, 1].
        source: the training rows, whose places are `batch.index`; None not to read again.
        augment: `(inputs, generator) -> inputs`; None for none.

    Shapes:
        inputs `[M, ...]` and M rows to inputs `[2M, ...]` and 2M rows; the first M are the batch's own, in order.

    Raises:
        ArgumentError: `rate` outside [0, 1], or inputs that are not tensors.
        CombinationError: rows that share inputs, or that carry `extra`.

    Reference:
        Bahri, Jiang, Tay, Metzler. SCARF: Self-Supervised Contrastive Learning using Random Feature Corruption. ICLR 2022
        (the corruption). Chen, Kornblith, Norouzi, Hinton. A Simple Framework for Contrastive Learning of Visual
        Representations. ICML 2020 (two augmentations).

    Departures:
        SCARF exchanges the same number of cells in every row, and takes them from the training set; here each cell is
        exchanged or not by itself, and taken from the batch. In SimCLR both views are augmented alike, which they are here
        only with `rate=0` and no `augment`: labels are learnt from the first view, which is that of every other method.

    Example:
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> oracle = Oracle(torch.nn.Linear(2, 2), lambda m, b: Rows(m(b.inputs), b.target), Objective())
        >>> batch = TwoViews()(oracle, Batch(torch.eye(2), torch.tensor([0, 1]), torch.tensor([7, 8])))
        >>> batch.inputs.shape, batch.share, dict(batch.extra)
        (torch.Size([4, 2]), tensor([1., 1., 0., 0.]), {'views': 2})
    """

    def __init__(self, rate: float = 0.6, *, source: Source | None = None, augment: Augmentation | None = None) -> None:
        if not 0 <= rate <= 1:
            raise ArgumentError("rate", "a share of the cells from 0 to 1", rate)
        self.rate, self.source, self.augment = float(rate), source, augment

    def __call__(self, oracle: Oracle, batch: Batch) -> Batch:
        """The batch of both views; draws from `oracle.generator`."""
        if batch.owner is not None or batch.extra:
            what = "share inputs with other rows" if batch.owner is not None else "carry " + ", ".join(map(repr, batch.extra))
            raise CombinationError(f"two-views cannot make views of rows that {what}: a view belongs to one row alone")
        leaves(batch.inputs)
        stream = oracle.generator
        second = batch.inputs if self.source is None else self._read_again(oracle, batch)
        if self.augment is not None:
            second = self.augment(second, stream)
        if self.rate > 0:
            second = corrupted(second, self.rate, stream)
        share = torch.ones(batch.target.shape, device=batch.target.device) if batch.share is None else batch.share
        return batch.replace(
            inputs=joined(batch.inputs, second),
            target=batch.target.repeat(2),
            index=batch.index.repeat(2),
            share=torch.cat([share, torch.zeros_like(share)]),
            extra={"views": 2},
        )

    def _read_again(self, oracle: Oracle, batch: Batch) -> Any:
        assert self.source is not None
        self.source = self.source.to(oracle.device)  # itself, where it is there already
        _, raw = next(iter(self.source.stream(iter([batch.index]))))
        return oracle.read(raw)

    def __repr__(self) -> str:
        """The settings."""
        return f"TwoViews(rate={self.rate:g})"


def corrupted(inputs: Any, rate: float, generator: torch.Generator) -> Any:
    """Inputs of which each cell, with probability `rate`, is that of a random input of the batch.

    Args:
        inputs: a tensor `[M, ...]` or a (nested) mapping of such tensors, of any dtype.
        rate: in [0, 1].
        generator: drawn from.

    Example:
        >>> corrupted(torch.zeros(3, 2), 0.5, torch.Generator().manual_seed(0)).sum()
        tensor(0.)
    """

    def exchanged(leaf: Tensor) -> Tensor:
        device = generator.device
        donor = torch.randint(max(len(leaf), 1), leaf.shape, generator=generator, device=device).to(leaf.device)
        hit = (torch.rand(leaf.shape, generator=generator, device=device) < rate).to(leaf.device)
        return torch.where(hit, leaf.gather(0, donor), leaf)

    return each(exchanged, inputs)
