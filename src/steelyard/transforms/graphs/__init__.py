"""Transforms of a graph in training: nodes and edges are added, and nothing of them remains when the model is measured.

Each can be used alone: `augment(x, edge_index, y, mask)` gives an `Augmented` graph.
"""

from steelyard.transforms.graphs.balanced_topology import BalancedTopology
from steelyard.transforms.graphs.frame import Augmented
from steelyard.transforms.graphs.graph_ens import GraphENS
from steelyard.transforms.graphs.graph_smote import GraphSMOTE
from steelyard.transforms.graphs.node_oversample import NodeOversample
from steelyard.transforms.graphs.topology_margins import TopologyMargins, topology_margins

__all__ = [
    "Augmented",
    "BalancedTopology",
    "GraphENS",
    "GraphSMOTE",
    "NodeOversample",
    "TopologyMargins",
    "topology_margins",
]
