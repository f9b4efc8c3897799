"""Small models, batches and slow, obviously right descents: what several tests of descents share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Rows
from steelyard.core.seeds import generator

COUNTS = (60, 25, 4)
CLASSES = len(COUNTS)


def score(model: nn.Module, batch: Batch) -> Rows:
    """What tasks do."""
    logits = model(batch.inputs)
    if batch.owner is not None:
        logits = logits[batch.owner]
    return Rows(logits, batch.target, index=batch.index, share=batch.share, extra=batch.extra)


def plain_net(seed: int = 0) -> nn.Sequential:
    """Without BatchNorm: rows do not see each other."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, CLASSES))


def norm_net(seed: int = 0) -> nn.Sequential:
    """With two BatchNorm layers, of different momentum."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 6), nn.BatchNorm1d(6, momentum=0.3), nn.Linear(6, CLASSES)
    )


def oracle(model: nn.Module, objective: Objective | None = None, precision: str = "float32") -> Oracle:
    return Oracle(model, score, Objective() if objective is None else objective, precision, generator(0, "draws"))


def rows(count: int = 24, seed: int = 0, dtype: torch.dtype = torch.float32) -> Batch:
    """Every class is there; class 2 with a few rows."""
    stream = generator(seed, "rows")
    target = torch.tensor([0, 0, 1, 2] * (count // 4) + [0] * (count % 4))
    target = torch.where((target == 2) & (torch.rand(count, generator=stream) < 0.4), 1, target)
    target[:3] = torch.tensor([2, 0, 1])
    return Batch(torch.randn(count, 5, generator=stream).to(dtype), target, torch.arange(count))


def mixed(batch: Batch, seed: int = 0) -> Batch:
    """Two rows an input, with shares."""
    size, stream = len(batch.target), generator(seed, "mixed")
    share, partner = torch.rand(size, generator=stream), torch.randperm(size, generator=stream)
    own = torch.arange(size)
    return batch.replace(
        target=torch.cat([batch.target, batch.target[partner]]),
        index=torch.cat([batch.index, batch.index[partner]]),
        owner=torch.cat([own, own]),
        share=torch.cat([share, 1 - share]).to(batch.inputs.dtype),
    )


def parameters(model: nn.Module) -> list[Tensor]:
    return list(model.parameters())


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def grads(model: nn.Module) -> list[Tensor]:
    return [value.grad.clone() for value in model.parameters() if value.grad is not None]


def gradient(model: nn.Module, loss: Callable[[], Tensor]) -> list[Tensor]:
    """By `backward`, into fresh `.grad`s."""
    for value in model.parameters():
        value.grad = None
    loss().backward()
    return [torch.zeros_like(value) if value.grad is None else value.grad.clone() for value in model.parameters()]


def norm_of(tensors: list[Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in tensors]).norm()


@torch.no_grad()
def shift(model: nn.Module, steps: list[Tensor], sign: float = 1.0) -> None:
    """Move the parameters in place, as released codes do."""
    for value, step in zip(model.parameters(), steps, strict=True):
        value.add_(step, alpha=sign)


def close(model: nn.Module, expected: list[Tensor], rtol: float = 1e-5, atol: float = 1e-7) -> None:
    for value, right in zip(model.parameters(), expected, strict=True):
        found = torch.zeros_like(value) if value.grad is None else value.grad
        torch.testing.assert_close(found, right, rtol=rtol, atol=atol)
