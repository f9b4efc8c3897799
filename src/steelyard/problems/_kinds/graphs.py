"""Graphs: classes of nodes."""

from __future__ import annotations

from typing import Any, Literal

from steelyard.core.task import Task
from steelyard.problems._settings import ProblemSettings
from steelyard.tasks.graphs import Draw, EdgeRule, GraphTask, read_graph, split, with_features


def graphs(
    data: Any,
    settings: ProblemSettings,
    *,
    protocol: str = "auto",
    ratio: float | None = None,
    minority: int | None = None,
    features: Literal["auto", "raw", "row", "standard"] = "auto",
    neighbours: tuple[int, ...] | None = None,
    edge_column: str | None = None,
    edge_threshold: float | None = None,
    keep_edge_column: bool = False,
    directed: bool = False,
) -> Task:
    """Classes of the nodes of a graph.

    Args:
        data: "cora", "citeseer", "pubmed"; a folder of raw Planetoid files; an .npz file with x, edge_index and y; a table
            with `edge_column`; a torch_geometric Data, or a mapping.
        settings: of the problem; of these `target`, `drop` and `missing` (for tables), `model`, `model_settings` and `seed`
            are used.
        protocol: "public" (the splits that came with the data), "random" (60/20/20 % of each class), "graphens-step10",
            "tam-step10", "graphsmote-cora" or "igl-lt-20"; "auto" is public where there are splits, else random.
        ratio: largest over smallest class of the training nodes, in place of the protocol's own.
        minority: how many of the last classes are rare, in place of the protocol's own.
        features: "row" (each node's sum to 1), "standard" (mean 0, variance 1), "raw"; "auto" is standard for
            tables, else raw.
        neighbours: as in (15,10): train on batches of nodes and at most so many neighbours of each, a number a layer; none
            for the whole graph at every step.
        edge_column: of a table: rows that differ by less than `edge_threshold` in it are neighbours.
        edge_threshold: above 0.
        keep_edge_column: the column is a feature, too (for a control without the graph: --model mlp).
        directed: keep edges one-way; otherwise each goes both ways.

    Raises:
        SteelyardError: anything that keeps the graph from being learnt from, in one sentence.

    Reference:
        The protocols: Zhao, Zhang, Wang: GraphSMOTE, WSDM 2021; Park, Song, Yang: GraphENS, ICLR 2022; Song, Park, Yang: TAM,
        ICML 2022; Qin et al.: IGL-Bench, ICLR 2025.
    """
    settings.refuse_others("graphs", used=("target", "model", "model_settings", "seed", "drop", "missing"))
    rule = None
    if edge_column is not None or edge_threshold is not None or keep_edge_column:
        rule = EdgeRule(edge_column, edge_threshold, keep_edge_column)
    graph = read_graph(data, target=settings.target, rule=rule, directed=directed, drop=settings.drop, missing=settings.missing)
    if features == "auto":
        features = "raw" if edge_column is None else "standard"
    nodes = split(graph, protocol, Draw(settings.seed, ratio, minority))
    return GraphTask(
        with_features(graph, features),
        nodes,
        model=settings.model,
        model_settings=settings.model_settings,
        neighbours=neighbours,
    )
