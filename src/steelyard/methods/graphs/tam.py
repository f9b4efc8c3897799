"""Margins by topology."""

from __future__ import annotations

from typing import Literal

from steelyard.core.loss import CrossEntropy
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import BalancedSoftmax
from steelyard.losses.graphs import Shifted
from steelyard.methods.graphs._whole import whole_graph
from steelyard.transforms.graphs import GraphENS, TopologyMargins

SEARCH = {"alpha": "0.5|1.5|2.5", "beta": "0.25|0.5", "phi": "0.8|1.2"}


def tam(
    task: TaskView,
    *,
    on: Literal["balanced-softmax", "graphens", "ce"] = "balanced-softmax",
    alpha: float = 1.5,
    beta: float = 0.5,
    phi: float = 1.2,
    warmup: int = 5,
) -> Stages:
    """TAM: another method, with margins for nodes whose neighbours are not those that are usual for their class.

    Formula:
        `z'_vj = z_vj + alpha log ACM_vj - beta ADM_vj` in training. See `steelyard.transforms.graphs.topology_margins`.

    Args:
        task: a graph.
        on: the loss or augmentation that the margins are added to; with a weighting: tam+renode.
        alpha: strength of the connectivity margin, 0 or more.
        beta: strength of the distribution margin, 0 or more; with alpha=0 as well it is the other method.
        phi: sharpness of what is predicted for unlabelled neighbours, above 0.
        warmup: epochs without margins, 0 or more.

    Raises:
        CombinationError: the data are no graph, or neighbours are sampled.

    Reference:
        Song, Park, Yang: TAM: topology-aware margin loss for class-imbalanced node classification, ICML 2022.

    Departures:
        See `steelyard.transforms.graphs.TopologyMargins`.

    Example:
        >>> from steelyard.settings import known_names
        >>> "tam" in known_names("method", "graphs")
        True
    """
    x, edge_index = whole_graph(task, "tam")
    margins = TopologyMargins(x, edge_index, task.counts, alpha=alpha, beta=beta, phi=phi, warmup=warmup)
    loss = Shifted(BalancedSoftmax(task.counts) if on == "balanced-softmax" else CrossEntropy())
    if on != "graphens":
        yield Stage(Objective(loss), transform=margins)
        return
    ens = GraphENS(x, edge_index, task.num_classes)

    def both(oracle: Oracle, batch: Batch) -> Batch:
        return margins(oracle, ens(oracle, batch))

    yield Stage(Objective(loss), transform=both)
