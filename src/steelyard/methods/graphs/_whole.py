"""What methods that change the graph need to see of it."""

from __future__ import annotations

from torch import Tensor

from steelyard.core.errors import CombinationError
from steelyard.core.task import TaskView


def whole_graph(task: TaskView, method: str) -> tuple[Tensor, Tensor]:
    """Features `[n, d]` and edges `[2, E]` of the task's graph.

    Raises:
        CombinationError: the data are no graph, or training sees sampled parts of it only.
    """
    task.require("graphs", method)
    if task.context["neighbours"] is not None:
        raise CombinationError(f"method '{method}' needs the whole graph at every step: leave out neighbours, or the method")
    return task.context["x"], task.context["edge_index"]
