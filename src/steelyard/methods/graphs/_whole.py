"""What methods need to see of a graph."""

from __future__ import annotations

import torch
from torch import Tensor

from steelyard.core.errors import CombinationError
from steelyard.core.task import Source, TaskView


def whole_graph(task: TaskView, method: str) -> tuple[Tensor, Tensor]:
    """Features `[n, d]` and edges `[2, E]` of the task's graph.

    Raises:
        CombinationError: the data are no graph, or training sees sampled parts of it only.
    """
    task.require("graphs", method)
    if task.context["neighbours"] is not None:
        raise CombinationError(f"method '{method}' needs the whole graph at every step: leave out neighbours, or the method")
    return task.context["x"], task.context["edge_index"]


def nodes_of(source: Source) -> Tensor:
    """The node number of each row of a split `[N]`, on the CPU."""
    return torch.cat([inputs for _, inputs in source.stream([torch.arange(len(source))])]).cpu()
