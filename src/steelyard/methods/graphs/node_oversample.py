"""Rare nodes repeated with their edges."""

from __future__ import annotations

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.methods.graphs._whole import whole_graph
from steelyard.transforms.graphs import NodeOversample

SEARCH = {"ratio": "0..1"}


def node_oversample(task: TaskView, *, ratio: float = 1.0, both_ways: bool = True) -> Stages:
    """At every step nodes of rare classes are repeated, with their edges, until classes are equally large.

    Formula:
        class c gets `ceil(ratio max_k n_k) - n_c` copies of its nodes, drawn evenly; plain cross-entropy over all.

    Args:
        task: a graph.
        ratio: how far classes are filled up, as a share of the largest, in [0, 1]; 0 is plain training.
        both_ways: copies send messages, too; without, they are repeated rows.

    Raises:
        CombinationError: the data are no graph, or neighbours are sampled.

    Reference:
        The over-sampling baseline of Zhao, Zhang, Wang: GraphSMOTE, WSDM 2021.

    Departures:
        See `steelyard.transforms.graphs.NodeOversample`.

    Example:
        >>> from steelyard.settings import known_names
        >>> "node-oversample" in known_names("method", "graphs")
        True
    """
    x, edge_index = whole_graph(task, "node-oversample")
    yield Stage(transform=NodeOversample(x, edge_index, task.num_classes, ratio=ratio, both_ways=both_ways))
