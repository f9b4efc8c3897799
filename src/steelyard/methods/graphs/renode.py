"""Weights by topology."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.methods.graphs._whole import nodes_of
from steelyard.weightings.graphs import ReNode, topological_conflict

SEARCH = {"base": "0..1", "scale": "0..2"}


def renode(task: TaskView, *, base: float = 0.5, scale: float = 1.0, restart: float = 0.15) -> Stages:
    """ReNode: labelled nodes that other classes' influence reaches weigh less.

    Formula:
        `w_v = base + scale / 2 (1 + cos(pi rank_v / (L - 1)))`, rank by `T_v = sum_u Pi_vu sum_(c != y_v) g_c(u)`, Pi the
        personalised PageRank. See `steelyard.weightings.graphs.ReNode`.

    Args:
        task: a graph.
        base: lowest weight, 0 or more.
        scale: highest less lowest weight, 0 or more; 0 is plain training.
        restart: of the PageRank, in (0, 1].

    Raises:
        CombinationError: the data are no graph.

    Reference:
        Chen, Lin, Zhao, Ren, Li, Zhou, Sun: Topology-imbalance learning for semi-supervised node classification, NeurIPS 2021.

    Departures:
        See `steelyard.weightings.graphs.ReNode`. The weights know no class sizes: against class imbalance it goes with a loss
        that does, renode+la.

    Example:
        >>> from steelyard.settings import known_names
        >>> "renode" in known_names("method", "graphs")
        True
    """
    task.require("graphs", "renode")
    nodes = nodes_of(task.train)
    conflict = topological_conflict(
        task.context["edge_index"], len(task.context["x"]), nodes, task.train.target, task.num_classes, restart=restart
    )
    yield Stage(Objective(weighting=ReNode(conflict, base=base, scale=scale)))
