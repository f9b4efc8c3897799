"""A tiny multi-label task for tests."""

from __future__ import annotations

import torch
from torch import Tensor

from steelyard.core.task import Source
from steelyard.data import ResidentSource
from steelyard.tasks import ArrayTask
from steelyard.tasks.multi_label import MultiLabelTask
from steelyard.tasks.multi_label.task import class_names

NAMES = ("cat", "dog", "eel")


def examples(size: int, seed: int, missing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Inputs `[N, 6]` and three labels, present in about 50, 25 and 10 percent of them."""
    stream = torch.Generator().manual_seed(seed)
    inputs = torch.randn(size, 6, generator=stream)
    weight = torch.tensor([[2.0, 0, 0], [0, 2, 0], [0, 0, 2], [0, 0, 0], [0, 0, 0], [0, 1, 1]])
    odds = inputs @ weight + torch.tensor([0.0, -2.0, -4.0])
    labels = (torch.rand(size, 3, generator=stream) < odds.sigmoid()).float()
    labels[:2] = torch.tensor([[1.0, 1, 1], [0, 0, 0]])
    hidden = torch.rand(size, 3, generator=stream) < missing
    hidden[:2] = False
    return inputs, torch.where(hidden, torch.nan, labels)


def task(missing: float = 0.0, train: int = 120, **settings: object) -> MultiLabelTask:
    held = {name: examples(size, seed, missing) for seed, (name, size) in enumerate(
        {"train": train, "valid": 40, "test": 60}.items()
    )}  # fmt: skip
    sources: dict[str, Source] = {
        name: ResidentSource(inputs, torch.zeros(len(inputs), dtype=torch.int64)) for name, (inputs, _) in held.items()
    }
    inner = ArrayTask("pets", class_names(NAMES), sources, **settings)  # type: ignore[arg-type]
    labels = {name: labels for name, (_, labels) in held.items()}
    own = not isinstance(settings.get("model", "auto"), str)
    return MultiLabelTask(inner, labels, NAMES, scores_a_label=own)
