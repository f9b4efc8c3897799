"""Node classification as a task: a row is a labelled node, its input is the node's number."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, CombinationError, UnknownName
from steelyard.core.figure import Figure
from steelyard.core.rows import Batch, Rows
from steelyard.core.task import EVALUATION_ROWS, Source
from steelyard.data.resident import ResidentSource
from steelyard.numeric.sparse import Sparse, compact
from steelyard.settings.text import bind, parameters_of, parse_call
from steelyard.tasks.about import ModelledTask
from steelyard.tasks.graphs.figures import alike_shares, neighbourhood_figure
from steelyard.tasks.graphs.graph import Graph
from steelyard.tasks.graphs.nets import NETS, Foreign, GraphNet
from steelyard.tasks.graphs.sampling import Neighbours
from steelyard.tasks.models import Builder, Model, builder

FROM_TASK = ("features", "num_classes")


@dataclass(frozen=True)
class _Named:
    """Makes a network by name; an object, as closures cannot be sent to other processes."""

    name: str
    features: int
    num_classes: int
    settings: dict[str, Any]

    def __call__(self) -> nn.Module:
        return NETS[self.name](self.features, self.num_classes, **self.settings)


@dataclass(frozen=True)
class _Wrapped:
    """Makes a network of the user's own."""

    build: Builder

    def __call__(self) -> nn.Module:
        return Foreign(self.build())


class GraphTask(ModelledTask):
    """Labelled nodes of one graph.

    All nodes take part in every pass, as their features are known (the transductive setting); of classes only those of the
    training nodes are learnt from. With `neighbours`, training scores a batch from a part of the graph: at most
    `neighbours[h]` neighbours, drawn anew at every step, of each node reached at hop h. Measuring always uses all neighbours.

    Args:
        graph: nodes, edges and classes.
        splits: node numbers by split: "train", "test" and, where there are such, "valid".
        model: "gcn" (what "auto" is), "gat", "sage", "mlp" (the graph-free control), each with its settings as in
            "gcn(hidden=32,layers=3)"; or a module `(x, edge_index) -> [n, C]`, or a function that makes one.
        model_settings: further settings of a model by name.
        neighbours: for each layer of the model, the most neighbours of a node; None for the whole graph at every step.
        notes: sentences about the data.

    Attributes:
        graph: as given.
        neighbours: as given.

    Raises:
        ArgumentError: an unknown setting of the model, or neighbours that do not fit its layers.

    Example:
        >>> import torch
        >>> from steelyard.tasks.graphs import checked, split
        >>> graph = checked("ring", torch.eye(20), torch.stack([torch.arange(20), torch.arange(1, 21) % 20]), [0, 1] * 10)
        >>> task = GraphTask(graph, split(graph, "random"))
        >>> task.model_name, task.counts.tolist(), task.describe()["edges"]
        ('gcn', [6, 6], 20)
    """

    usual_regime = "graphs"
    without = ("mixup-bs",)
    usual_methods = (
        "ce", "drw", "la", "balanced-softmax", "l2rw", "meta-gcn", "renode", "tam", "bat", "graphens", "graphsmote"
    )  # fmt: skip

    def __init__(
        self,
        graph: Graph,
        splits: Mapping[str, Tensor],
        *,
        model: Model = "auto",
        model_settings: Mapping[str, Any] | None = None,
        neighbours: Sequence[int] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        sources: dict[str, Source] = {
            name: ResidentSource(nodes, graph.y[nodes]) for name, nodes in splits.items() if len(nodes) or name != "valid"
        }
        build = _builder(model, graph.x.shape[1], len(graph.class_names), dict(model_settings or {}))
        words = f"{graph.x.shape[1]} numbers a node, {graph.nodes} nodes"
        super().__init__(
            graph.name, graph.class_names, sources, build, kind="graphs", features=words, notes=(*graph.notes, *notes)
        )
        self.graph, self.neighbours = graph, None if neighbours is None else tuple(neighbours)
        self._hops = _check_neighbours(build, self.neighbours)
        if self.neighbours is not None:
            self.usual_regime = "graphs_sampled"
        self._on: dict[torch.device, dict[str, Any]] = {}
        self._of = None if self.neighbours is None else Neighbours(graph.edge_index, graph.nodes)
        self.context = {"x": graph.x, "edge_index": graph.edge_index, "neighbours": self.neighbours}
        self.facts = graph.statistics()

    def load(self, inputs: Any, *, augment: str, generator: torch.Generator | None) -> Any:
        """Node numbers `[M]`; where neighbours are drawn in training, beside the number of the draw `[M, 2]`."""
        inputs = super().load(inputs, augment=augment, generator=generator)
        if self.neighbours is None or generator is None:
            return inputs
        draw = torch.randint(1 << 62, (1,), generator=generator, device=generator.device)
        return torch.stack([inputs, draw.to(inputs.device).expand_as(inputs)], 1)

    def forward(self, model: nn.Module, batch: Batch) -> Rows:
        """Score the nodes of a batch, in the "graph" that it carries, if it does, and beside the mixtures in "mixed"."""
        if batch.owner is not None or not isinstance(batch.inputs, Tensor) or batch.inputs.is_floating_point():
            raise CombinationError(
                f"the rows of '{self.name}' are nodes of a graph, whose numbers cannot be mixed: in place of mixup and what is "
                "built on it take graphens or graphsmote"
            )
        view = self._view(batch, next(model.parameters()).device)
        if "mixed" in batch.extra:
            return self._with_mixed(model, batch, view)
        rows = super().forward(model, batch.replace(inputs=view))
        foreign = next((part for part in model.modules() if isinstance(part, Foreign)), None)
        if foreign is not None and foreign.features is not None:
            rows = dataclasses.replace(rows, features=foreign.features)
        return rows

    def _with_mixed(self, model: nn.Module, batch: Batch, view: dict[str, Any]) -> Rows:
        """Nodes behind those of the graph are mixtures of two nodes each, made of what goes into the last layer."""
        if not isinstance(model, GraphNet):
            raise CombinationError("mixtures of embeddings need a model by name (gcn, gat or sage)")
        mixed = batch.extra["mixed"]
        values = model.embed(view)
        if isinstance(values, Sparse):
            raise CombinationError("mixtures of embeddings need a model of at least two layers")
        first, second = values[mixed["first"]], values[mixed["second"]]
        whole = torch.cat([values, first + mixed["share"][:, None] * (second - first)])
        edges = torch.cat([view["edge_index"], mixed["edge_index"]], 1)
        logits = model.score(model.gathered(whole, {**view, "x": whole, "edge_index": edges})[view["node"]])
        extra = {**batch.extra, "embeddings": values}
        return Rows(logits, batch.target, index=batch.index, share=batch.share, extra=extra)

    def _view(self, batch: Batch, device: torch.device) -> dict[str, Any]:
        inputs = batch.inputs
        if "graph" in batch.extra:
            return {**batch.extra["graph"], "node": inputs}
        if self._of is None:
            return {**self._graph_on(device), "node": inputs}
        drawn = inputs.ndim == 2
        most = self.neighbours if drawn and self.neighbours is not None else [None] * self._hops
        seeds = (inputs[:, 0] if drawn else inputs).cpu()
        found = self._of.part(seeds, most, int(inputs[0, 1]) if drawn and len(inputs) else 0)
        view = {name: value.to(device) for name, value in found.items()}
        return {**view, "x": self.graph.x[found["nodes"]].to(device)}

    def _graph_on(self, device: torch.device) -> dict[str, Any]:
        """The whole graph on a device; copied once."""
        if device not in self._on:
            features = compact(self.graph.x.to(device))
            self._on[device] = {"x": features, "edge_index": self.graph.edge_index.to(device)}
        return self._on[device]

    def predict(self, model: nn.Module, source: Source) -> tuple[Tensor, Tensor]:
        """Score a split: in one pass over the graph, or where it is sampled in training, in batches with all neighbours."""
        size = max(len(source), 1) if self._of is None else EVALUATION_ROWS
        parts = []
        for index, inputs in source.stream(torch.split(torch.arange(len(source)), size)):
            batch = Batch(inputs, torch.zeros_like(index), index)
            parts.append(self.forward(model, batch).logits.float().cpu())
        return (torch.cat(parts) if parts else torch.empty(0, self.num_classes)), source.target

    def figures(self, proba: np.ndarray, target: np.ndarray) -> dict[str, Figure]:
        """Recall by the share of neighbours of the same class."""
        _, nodes = next(iter(self.splits["test"].stream([torch.arange(len(target))])))
        share = alike_shares(self.graph.edge_index, self.graph.y)[nodes.cpu()]
        return {"neighbourhood": neighbourhood_figure(share, proba, target, self.counts)}


def _builder(model: Model, features: int, classes: int, settings: dict[str, Any]) -> Builder:
    if not isinstance(model, str):
        made = builder(model, num_classes=classes, input_shape=(features,), settings=settings)
        return Builder(made.name, _Wrapped(made))
    name, texts = parse_call("gcn" if model == "auto" else model)
    if name not in NETS:
        raise UnknownName("model for graphs", name, NETS)
    known = {key: value for key, value in parameters_of(NETS[name]).items() if key not in FROM_TASK}
    given = bind(name, known, texts) | settings
    for key in settings:
        if key not in known:
            raise ArgumentError("model_settings", f"settings of {name} ({', '.join(known)})", key)
    build = Builder(name, _Named(name, features, classes, given))
    with torch.random.fork_rng(devices=[]):
        build()  # what is wrong with the settings is said now
    return build


def _check_neighbours(build: Builder, neighbours: tuple[int, ...] | None) -> int:
    """Hops that a score depends on."""
    if neighbours is None:
        return 0
    if not neighbours or min(neighbours) < 1:
        raise ArgumentError("neighbours", "numbers of 1 or more, one for each layer, such as (15,10)", neighbours)
    with torch.random.fork_rng(devices=[]):
        model = build()
    if isinstance(model, GraphNet) and model.reach and model.hops != len(neighbours):
        raise ArgumentError("neighbours", f"one number for each of the model's {model.hops} layers", neighbours)
    return len(neighbours)
