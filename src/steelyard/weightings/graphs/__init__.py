"""Weightings that need something of a graph beside the rows."""

from steelyard.weightings.graphs.adversarial import Adversarial, ClassNets
from steelyard.weightings.graphs.never_idle import NeverIdle
from steelyard.weightings.graphs.renode import ReNode, topological_conflict

__all__ = ["Adversarial", "ClassNets", "NeverIdle", "ReNode", "topological_conflict"]
