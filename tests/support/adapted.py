"""Small pictures and a backbone for tests of adapters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.seeds import generator
from steelyard.data.resident import ResidentSource
from steelyard.tasks.adapters import Adapter, AdapterTask, Backbone

SIDE = 4


class Blocks(nn.Module):
    """Two named linear layers and one convolution; images `[N, 1, 4, 4]` to features `[N, 6]`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 2, stride=2)
        self.fc1 = nn.Linear(8, 12)
        self.fc2 = nn.Linear(12, 6)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.fc2(torch.tanh(self.fc1(self.stem(images).flatten(1))))
        return features


def backbone(build: Callable[[], nn.Module] = Blocks, **fields: Any) -> Backbone:
    """The same weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Backbone("tiny", build(), **fields)


def pictures(counts: tuple[int, ...], name: str = "train", shuffled: bool = False) -> ResidentSource:
    """Images of classes that differ in which quarter is bright, with noise; all labels exchanged where `shuffled`."""
    target = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    draws = generator(0, "pictures", name)
    images = 0.3 * torch.rand(len(target), 1, SIDE, SIDE, generator=draws)
    for row, label in enumerate(target.tolist()):
        high, wide = divmod(label, 2)
        images[row, :, 2 * high : 2 * high + 2, 2 * wide : 2 * wide + 2] += 0.6
    if shuffled:
        target = target[torch.randperm(len(target), generator=draws)]
    return ResidentSource((images * 255).to(torch.uint8), target)


def tiny_task(
    adapter: Adapter | None = None,
    *,
    counts: tuple[int, ...] = (40, 12, 3),
    made: Backbone | None = None,
    shuffled: bool = False,
    **settings: Any,
) -> AdapterTask:
    """Three classes with a tail, seen through the tiny backbone."""
    splits = {
        "train": pictures(counts, shuffled=shuffled),
        "valid": pictures((4,) * len(counts), "valid"),
        "test": pictures((6,) * len(counts), "test"),
    }
    return AdapterTask("tiny", "abcd"[: len(counts)], splits, made or backbone(), adapter or Adapter(rank=2), **settings)
