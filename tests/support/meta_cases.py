"""What the tests of meta-learned weights have in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from steelyard.core.pool import RowPool
from steelyard.core.rows import Batch, Rows
from steelyard.data import ResidentSource


class Logistic(nn.Module):
    """One parameter: the logits of two classes are 0 and theta x."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(inputs), self.theta * inputs], 1)


def forward(model: nn.Module, batch: Batch) -> Rows:
    return Rows(model(batch.inputs), batch.target, index=batch.index, share=batch.share)


def pool_of(inputs: Tensor, target: Tensor) -> RowPool:
    return RowPool(ResidentSource(inputs, target), batch_size=len(target))


def rows(shape: tuple[int, ...], size: int, seed: int) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(size, *shape, generator=stream).double(), torch.randint(0, 3, (size,), generator=stream)
