"""Weights of nodes that a network a class learns against the classifier."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.methods.graphs._whole import nodes_of
from steelyard.weightings.graphs import Adversarial, ClassNets

SEARCH = {"gamma": "log(0.1..100)", "hidden": "2|4|8"}


def ra_gcn(task: TaskView, *, hidden: int = 2, gamma: float = 1.0, lr: float = 0.01, weight_decay: float = 5e-4) -> Stages:
    """RA-GCN: classes count alike, and within a class a small network gives weight to the nodes that are got wrong.

    Formula:
        classifier: min `sum_i w_i l_i`; networks: max `sum_i w_i l_i - gamma sum_i w_i log w_i`, with
        `w_i = s_i / (C sum_c s)`, `s = sigmoid(GCN_c)` on the training nodes of class c and the edges among them.

    Args:
        task: a graph.
        hidden: width of the networks, 1 or more.
        gamma: of the entropy, 0 or more; very large is inverse class frequency.
        lr: of the networks' Adam, above 0.
        weight_decay: of the networks' Adam, 0 or more.

    Raises:
        CombinationError: the data are no graph.
        ArgumentError: a setting out of range.

    Reference:
        Ghorbani, Kazi, Soleymani Baghshah, Rabiee, Navab: RA-GCN: graph convolutional network for disease prediction problems
        with imbalanced data, Medical Image Analysis 2022.

    Departures:
        Classifier, optimiser and epochs are those of the comparison. The released code chooses the epoch by macro-F1
        and leaves out the first 500. See `steelyard.weightings.graphs.Adversarial`.

    Example:
        >>> from steelyard.settings import known_names
        >>> "ra-gcn" in known_names("method", "graphs")
        True
    """
    task.require("graphs", "ra-gcn")
    nodes = nodes_of(task.train)
    context = task.context
    nets = ClassNets(context["x"], context["edge_index"], nodes, task.train.target, hidden=hidden, seed=task.seed)
    yield Stage(Objective(weighting=Adversarial(nets, gamma=gamma, lr=lr, weight_decay=weight_decay)))
