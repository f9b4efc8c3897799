"""A small graph for tests: three classes of unequal size whose nodes mostly know their own kind."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from steelyard.tasks.graphs import Graph, GraphTask, checked, split


def arrays(seed: int = 0, sizes: tuple[int, ...] = (60, 30, 12), features: int = 6) -> dict[str, Tensor]:
    """x, edge_index and y."""
    stream = torch.Generator().manual_seed(seed)
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    y = y[torch.randperm(len(y), generator=stream)]
    x = torch.randn(len(y), features, generator=stream) + 1.5 * torch.nn.functional.one_hot(y, features)
    pairs = torch.randint(len(y), (2, 6 * len(y)), generator=stream)
    kept = (y[pairs[0]] == y[pairs[1]]) | (torch.rand(pairs.shape[1], generator=stream) < 0.15)
    return {"x": x, "edge_index": pairs[:, kept], "y": y}


def graph(**settings: Any) -> Graph:
    """As a checked graph."""
    found = arrays(**settings)
    return checked("small", found["x"], found["edge_index"], found["y"])


def task(**settings: Any) -> GraphTask:
    """As a task, split at random; settings are those of `GraphTask`."""
    whole = graph()
    return GraphTask(whole, split(whole, "random"), **settings)
