"""Mixtures of embeddings of rare nodes."""

from __future__ import annotations

from typing import Literal

import torch

from steelyard.core.errors import CombinationError
from steelyard.core.head import find_head
from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses.graphs import EdgeDecoder, EdgeReconstruction
from steelyard.methods.graphs._whole import whole_graph
from steelyard.transforms.graphs import GraphSMOTE

SEARCH = {"ratio": "0..1", "reconstruction": "0|0.1|1"}


def graphsmote(
    task: TaskView,
    *,
    ratio: float = 1.0,
    space: Literal["embeddings", "features"] = "embeddings",
    edges: Literal["union", "decoded"] = "union",
    reconstruction: float = 0.1,
    index: Literal["fixed", "released"] = "fixed",
) -> Stages:
    """GraphSMOTE: at every step rare classes are filled up with mixtures of a node and its nearest of the same class.

    Formula:
        `h = h_v + delta (h_u - h_v)`, with the edges of v and of u; cross-entropy over all nodes plus `reconstruction` times
        the error of edges predicted as `sigmoid(h_u^T S h_v)`. See `steelyard.transforms.graphs.GraphSMOTE`.

    Args:
        task: a graph.
        ratio: how far classes are filled up, as a share of the largest, in [0, 1].
        space: what is mixed: "embeddings", the input of the last layer, or "features" (plain SMOTE, without a decoder).
        edges: of a new node: those of both parents ("union"), or those of them that the decoder finds likely ("decoded").
        reconstruction: weight of the decoder's error, 0 or more; with space=features unused and left at its default.
        index: "released" wires new nodes to the wrong neighbours, as the released code does.

    Raises:
        CombinationError: the data are no graph, neighbours are sampled, edges=decoded with features, or embeddings of a model
            that has none.

    Reference:
        Zhao, Zhang, Wang: GraphSMOTE: imbalanced node classification on graphs with graph neural networks, WSDM 2021.

    Departures:
        See `steelyard.transforms.graphs.GraphSMOTE` and `steelyard.losses.graphs.EdgeReconstruction`. Encoder, decoder and
        classifier are trained together from the start; there is no pre-training.

    Example:
        >>> from steelyard.settings import known_names
        >>> "graphsmote" in known_names("method", "graphs")
        True
    """
    x, edge_index = whole_graph(task, "graphsmote")
    if space == "features":
        if edges == "decoded" or reconstruction != 0.1:
            raise CombinationError("graphsmote(space=features) has no decoder: leave out edges and reconstruction")
        yield Stage(transform=GraphSMOTE(x, edge_index, task.num_classes, ratio=ratio, space=space, index=index))
        return
    model = task.model()
    width = getattr(model, "width", None)
    if width is None or find_head(model) is None:
        raise CombinationError("graphsmote mixes embeddings, which needs a model by name (gcn, gat or sage)")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        decoder = EdgeDecoder(int(width))
    transform = GraphSMOTE(
        x,
        edge_index,
        task.num_classes,
        ratio=ratio,
        space=space,
        index=index,
        decoder=decoder if edges == "decoded" else None,
    )
    yield Stage(Objective(EdgeReconstruction(decoder, reconstruction)), transform=transform)
