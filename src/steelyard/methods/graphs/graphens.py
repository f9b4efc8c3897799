"""Synthetic neighbourhoods of rare nodes."""

from __future__ import annotations

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.methods.graphs._whole import whole_graph
from steelyard.transforms.graphs import GraphENS

SEARCH = {"keep": "0.01|0.05", "temperature": "1|2"}


def graphens(task: TaskView, *, keep: float = 0.01, temperature: float = 2.0, warmup: int = 1) -> Stages:
    """GraphENS: at every step rare classes are filled up with nodes mixed of two, with neighbours of both.

    Formula:
        `x = lam x_v + (1 - lam) x_u`, v of the rare class, u any labelled node; neighbours with odds
        `phi p(. | v) + (1 - phi) p(. | u)`. See `steelyard.transforms.graphs.GraphENS`.

    Args:
        task: a graph.
        keep: share of features that stay those of v, where they matter most for u, in [0, 1].
        temperature: of the probabilities that decide how much of u's neighbourhood is taken, above 0.
        warmup: epochs in which the neighbours are those of v, 0 or more.

    Raises:
        CombinationError: the data are no graph, or neighbours are sampled.

    Reference:
        Park, Song, Yang: GraphENS: neighbor-aware ego network synthesis for class-imbalanced node classification, ICLR 2022.

    Departures:
        See `steelyard.transforms.graphs.GraphENS`.

    Example:
        >>> from steelyard.settings import known_names
        >>> "graphens" in known_names("method", "graphs")
        True
    """
    x, edge_index = whole_graph(task, "graphens")
    yield Stage(transform=GraphENS(x, edge_index, task.num_classes, keep=keep, temperature=temperature, warmup=warmup))
