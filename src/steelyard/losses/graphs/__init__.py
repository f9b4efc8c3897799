"""Losses that need something of a graph beside the rows."""

from steelyard.losses.graphs.edge_reconstruction import EdgeDecoder, EdgeReconstruction
from steelyard.losses.graphs.shifted import Shifted

__all__ = ["EdgeDecoder", "EdgeReconstruction", "Shifted"]
