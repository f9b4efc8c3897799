"""Nodes of a graph: each labelled node is a row, and the whole graph, or a sampled part of it, is what its score depends on."""

from steelyard.tasks.graphs.graph import Graph, checked, with_features
from steelyard.tasks.graphs.protocols import PROTOCOLS, Draw, split
from steelyard.tasks.graphs.read import EdgeRule, read_graph
from steelyard.tasks.graphs.task import GraphTask

__all__ = ["PROTOCOLS", "Draw", "EdgeRule", "Graph", "GraphTask", "checked", "read_graph", "split", "with_features"]
