"""Learned weights of nodes."""

from __future__ import annotations

from typing import Literal

import torch

from steelyard.core.descent import plain
from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.grouping import group_rows
from steelyard.core.objective import Evaluation, Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.rows import Batch
from steelyard.core.sampler import ShuffledSampler
from steelyard.core.seeds import generator
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import Part, Source, Task, TaskView
from steelyard.methods.graphs._meta_graph import MetaGraph
from steelyard.methods.graphs._whole import whole_graph
from steelyard.samplers import BalancedSampler
from steelyard.weightings import LearnToReweight, Lookahead
from steelyard.weightings.graphs import NeverIdle

SEARCH = {"meta_rows": "5|10|20", "meta_from": "valid|train|held_out"}
MOST_ROWS = 1024
"""Meta nodes a step."""


def meta_gcn(
    task: TaskView,
    *,
    meta_rows: int = 10,
    meta_from: Literal["auto", "valid", "train", "held_out"] = "auto",
    meta_graph: Literal["whole", "induced"] = "whole",
    when_idle: Literal["uniform", "skip"] = "uniform",
    every: int = 1,
) -> Stages:
    """Meta-GCN: each training node weighs by how far its gradient agrees with that of a balanced meta set of nodes.

    Formula:
        `w_i = w~_i / sum_j w~_j`, `w~_i = max(0, -d L_meta(theta - eta sum_j e_j grad l_j) / d e_i at e = 0)`, which is
        `max(0, eta <grad l_i, grad L_meta>)`: exact, from one forward-mode pass. The loss is `sum_i w_i CE(z_i, y_i)`.

    Args:
        task: a graph.
        meta_rows: meta nodes of each class, 1 or more.
        meta_from: "valid" draws them from the validation nodes, as the authors' notebooks do, which choose the best epoch, too;
            "train" draws classes equally often from the training nodes and takes none out; "held_out" takes them out of the
            training nodes (of a class with n nodes at most n // 2). "auto" is "valid" where there are such nodes, else "train".
        meta_graph: "whole": meta nodes see their neighbours in the graph; "induced": they see each other only.
        when_idle: in a step in which no node weighs anything, all weigh 1 ("uniform"), or nothing moves ("skip").
        every: steps between two weighted ones, 1 or more; the others are plain.

    Raises:
        CombinationError: the data are no graph, or there are no validation nodes to draw from.

    Reference:
        Mohammadizadeh, Mozhdehi, Ioannou, Wang: Meta-GCN: a dynamically weighted loss minimization method for dealing with the
        data imbalance in graph neural networks, Canadian AI 2023. The weights: Ren, Zeng, Yang, Urtasun, ICML 2018.

    Departures:
        Written from the paper's equations: the authors' notebooks train another network and learn one weight for all nodes. The
        look-ahead is a plain gradient step whatever the optimiser, so its rate cancels.

    Example:
        >>> from steelyard.settings import known_names
        >>> "meta-gcn" in known_names("method", "graphs")
        True
    """
    task.require("graphs", "meta-gcn")
    if meta_rows < 1:
        raise ArgumentError("meta_rows", "1 or more", meta_rows)
    trained, source = _meta_nodes(task, meta_rows, meta_from)
    found = source.target.bincount(minlength=task.num_classes)
    even = len(source) <= MOST_ROWS and bool((found[found > 0] == found.max()).all()) and source is not task.train
    sampler = ShuffledSampler if even else BalancedSampler
    size = len(source) if even else min(meta_rows * task.num_classes, MOST_ROWS)
    if meta_graph == "induced":
        x, edge_index = whole_graph(task, "meta-gcn(meta_graph=induced)")
        pool: RowPool = MetaGraph(source, x, edge_index, batch_size=size, sampler=sampler, seed=task.seed)
    else:
        pool = RowPool(source, batch_size=size, sampler=sampler, seed=task.seed)
    weighting = NeverIdle(LearnToReweight(pool, lookahead=Lookahead(every=every)), uniform=when_idle == "uniform")
    yield Stage(Objective(weighting=weighting), task=trained, descent=plain if when_idle == "uniform" else _skipping)


def _meta_nodes(task: TaskView, rows: int, where: str) -> tuple[Task | None, Source]:
    """The task to train on (None: as it is), and the nodes that weights are judged by."""
    valid = task.valid
    if where == "auto":
        where = "train" if valid is None or len(valid) == 0 else "valid"
    if where == "train":
        return None, task.train
    if where == "held_out":
        return task.reserve(rows)
    if valid is None or len(valid) == 0:
        raise CombinationError("meta-gcn(meta_from=valid) needs validation nodes, and there are none: take meta_from=train")
    grouped, stream = group_rows(valid.target, task.num_classes), generator(task.seed, "meta-gcn")
    drawn = [
        grouped.rows(label)[torch.randperm(size, generator=stream)[:rows]] for label, size in enumerate(grouped.counts.tolist())
    ]
    return None, Part(valid, torch.cat(drawn).sort().values)


def _skipping(oracle: Oracle, batch: Batch) -> Evaluation:
    """A plain step; where no row weighs anything, one in which not even momentum and weight decay move a parameter."""
    evaluation = plain(oracle, batch)
    if evaluation.weights is not None and not bool(evaluation.weights.any()):
        for parameter in oracle.params().values():
            parameter.grad = None
    return evaluation
