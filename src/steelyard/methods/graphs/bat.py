"""Links from nodes in doubt to what classes look like."""

from __future__ import annotations

from typing import Literal

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.methods.graphs._whole import whole_graph
from steelyard.transforms.graphs import BalancedTopology

SEARCH = {"order": "0|1"}


def bat(task: TaskView, *, order: Literal[0, 1] = 1) -> Stages:
    """BAT: at every step a node a class is added, with edges to the nodes that may belong to it.

    Formula:
        node v gets an edge from the node of class j, the mean of the nodes taken for j, with a probability that grows with the
        model's doubt about v and with the share of j among its neighbours. See `steelyard.transforms.graphs.BalancedTopology`.

    Args:
        task: a graph.
        order: 1 looks at the classes of the neighbours, 0 at the model's probabilities.

    Raises:
        CombinationError: the data are no graph, or neighbours are sampled.

    Reference:
        Liu, Qiu, Zeng, Yoo, Zhou, Xu, Zhu, Weldemariam, He, Tong: Class-imbalanced graph learning without class rebalancing,
        ICML 2024.

    Departures:
        See `steelyard.transforms.graphs.BalancedTopology`. It goes with any loss or weighting: bat+la.

    Example:
        >>> from steelyard.settings import known_names
        >>> "bat" in known_names("method", "graphs")
        True
    """
    x, edge_index = whole_graph(task, "bat")
    yield Stage(transform=BalancedTopology(x, edge_index, task.counts, order=order))
