"""Which labelled nodes train, validate and test, by the names under which papers know it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.core.seeds import generator
from steelyard.tasks.graphs.graph import Graph

Splits = dict[str, Tensor]
"""Node numbers by split, "train", "valid" and "test", ascending and disjoint."""

PER_CLASS = 20
"""Training nodes of a class in the protocols of Planetoid."""
VALID, TEST = 500, 1000
"""Validation and test nodes there."""


@dataclass(frozen=True)
class Draw:
    """What a protocol may depend on.

    Attributes:
        seed: of everything drawn.
        ratio: largest over smallest class of the training nodes; None for the protocol's own.
        minority: how many classes are rare; None for the protocol's own.
    """

    seed: int = 0
    ratio: float | None = None
    minority: int | None = None


def split(graph: Graph, protocol: str = "auto", draw: Draw | None = None) -> Splits:
    """Split the labelled nodes of a graph.

    Args:
        graph: with two classes or more.
        protocol: one of `PROTOCOLS`, or "auto": "public" where the data came with splits, else "random".
        draw: seed, ratio and number of rare classes.

    Raises:
        UnknownName: no such protocol.
        ArgumentError: a ratio below 1, or a number of rare classes that leaves none, or one that the protocol has no use for.
        DataError: a class would have no training node, or the data lack what the protocol needs.
    """
    draw = Draw() if draw is None else draw
    if draw.ratio is not None and not 1 <= draw.ratio < float("inf"):
        raise ArgumentError("ratio", "1 or more", draw.ratio)
    classes = len(graph.class_names)
    if draw.minority is not None and not 1 <= draw.minority < classes:
        raise ArgumentError("minority", f"from 1 to {classes - 1} for {classes} classes", draw.minority)
    if protocol == "auto":
        protocol = "public" if graph.masks else "random"
    if protocol not in PROTOCOLS:
        raise UnknownName("protocol", protocol, ["auto", *PROTOCOLS])
    for name in UNUSED.get(protocol, ()):
        if getattr(draw, name) is not None:
            raise ArgumentError(name, f"left out, as the protocol '{protocol}' has no use for it", getattr(draw, name))
    splits = {name: nodes.sort().values for name, nodes in PROTOCOLS[protocol](graph, draw).items()}
    _check(graph, splits, protocol)
    return splits


def public(graph: Graph, draw: Draw) -> Splits:
    """The splits that came with the data, unlabelled nodes left out."""
    if not graph.masks:
        raise DataError(f"graph '{graph.name}' came without splits: choose another protocol, such as random")
    return {name: nodes[graph.y[nodes] >= 0] for name, nodes in graph.masks.items()}


def random(graph: Graph, draw: Draw) -> Splits:
    """Of each class 60 % of the nodes for training, and half of the rest each for validation and test, shuffled."""
    parts: dict[str, list[Tensor]] = {"train": [], "valid": [], "test": []}
    for nodes in _shuffled(graph, draw.seed):
        train = len(nodes) * 6 // 10
        train = max(train, 1) if len(nodes) else 0
        valid = (len(nodes) - train) // 2
        for name, part in zip(parts, torch.split(nodes, [train, valid, len(nodes) - train - valid]), strict=True):
            parts[name].append(part)
    return {name: torch.cat(found) for name, found in parts.items()}


def graphens_step10(graph: Graph, draw: Draw) -> Splits:
    """The public split with a tenth of the training nodes of the last half of the classes; of three classes, of two."""
    classes = len(graph.class_names)
    return _step(graph, draw, max(classes // 2, 2 if classes > 2 else 1))


def tam_step10(graph: Graph, draw: Draw) -> Splits:
    """The public split with a tenth of the training nodes of the last half of the classes; of three classes, of one."""
    return _step(graph, draw, max(len(graph.class_names) // 2, 1))


def graphsmote_cora(graph: Graph, draw: Draw) -> Splits:
    """Of each class 20 nodes for training (10 of the last half of the classes), 25 for validation and 55 for testing."""
    ratio = 2.0 if draw.ratio is None else draw.ratio
    rare = len(graph.class_names) // 2 if draw.minority is None else draw.minority
    parts: dict[str, list[Tensor]] = {"train": [], "valid": [], "test": []}
    for label, nodes in enumerate(_shuffled(graph, draw.seed)):
        few = label >= len(graph.class_names) - rare
        train = max(round(PER_CLASS / ratio), 1) if few else PER_CLASS
        if len(nodes) < train + 2:
            raise DataError(
                f"class '{graph.class_names[label]}' of graph '{graph.name}' has {len(nodes)} labelled nodes, and the protocol "
                f"'graphsmote-cora' needs {train} for training and more to judge by"
            )
        valid = min(25, (len(nodes) - train) * 25 // 80)
        parts["train"].append(nodes[:train])
        parts["valid"].append(nodes[train : train + valid])
        parts["test"].append(nodes[train + valid : train + valid + 55])
    return {name: torch.cat(found) for name, found in parts.items()}


def igl_lt_20(graph: Graph, draw: Draw) -> Splits:
    """A tenth of the nodes trains, in a geometric long tail of ratio 20; as many, balanced, validate; the rest test.

    The class with most nodes becomes the largest of the training nodes, and so on.
    """
    ratio = 20.0 if draw.ratio is None else draw.ratio
    shuffled = _shuffled(graph, draw.seed)
    sizes = torch.tensor([len(nodes) for nodes in shuffled])
    total = int(sizes.sum()) // 10
    train = geometric_counts(total, len(sizes), ratio)
    valid = geometric_counts(total, len(sizes), 1.0)
    order = torch.argsort(-sizes, stable=True).tolist()
    parts: dict[str, list[Tensor]] = {"train": [], "valid": [], "test": []}
    for place, label in enumerate(order):
        nodes = shuffled[label]
        first = min(max(train[place], 1), max(len(nodes) - 2, 1))
        second = min(valid[place], (len(nodes) - first) // 2)
        for name, part in zip(parts, torch.split(nodes, [first, second, len(nodes) - first - second]), strict=True):
            parts[name].append(part)
    return {name: torch.cat(found) for name, found in parts.items()}


def geometric_counts(total: int, classes: int, ratio: float) -> list[int]:
    """Class sizes that fall geometrically, the first `ratio` times the last, and together are about `total`.

    Example:
        >>> geometric_counts(270, 7, 20), geometric_counts(270, 7, 100), geometric_counts(270, 7, 1)
        ([109, 66, 40, 24, 15, 9, 5], [145, 67, 31, 15, 7, 3, 1], [39, 39, 39, 39, 39, 39, 39])
    """
    step = ratio ** (-1 / max(classes - 1, 1))
    shares = [step**place for place in range(classes)]
    return [round(total * share / sum(shares)) for share in shares]


PROTOCOLS: dict[str, Callable[[Graph, Draw], Splits]] = {
    "public": public,
    "random": random,
    "graphens-step10": graphens_step10,
    "tam-step10": tam_step10,
    "graphsmote-cora": graphsmote_cora,
    "igl-lt-20": igl_lt_20,
}
UNUSED = {"public": ("ratio", "minority"), "random": ("ratio", "minority"), "igl-lt-20": ("minority",)}


def _step(graph: Graph, draw: Draw, rare: int) -> Splits:
    base = public(graph, draw) if graph.masks else planetoid_like(graph, draw.seed)
    rare = rare if draw.minority is None else draw.minority
    ratio = 10.0 if draw.ratio is None else draw.ratio
    target, classes = graph.y[base["train"]], len(graph.class_names)
    counts = torch.bincount(target, minlength=classes)
    common = int(counts[: classes - rare].max())
    kept = []
    for label in range(classes):
        nodes = base["train"][target == label]
        order = torch.randperm(len(nodes), generator=generator(draw.seed, "step", label))
        kept.append(nodes[order[: max(round(common / ratio), 1)]] if label >= classes - rare else nodes)
    return base | {"train": torch.cat(kept)}


def planetoid_like(graph: Graph, seed: int) -> Splits:
    """For a graph without splits: 20 nodes a class for training, then 500 for validation and 1000 for testing at most.

    A class gives at most half of its nodes; of the rest a third at most validates.
    """
    train = [nodes[: max(min(PER_CLASS, len(nodes) // 2), min(len(nodes), 1))] for nodes in _shuffled(graph, seed)]
    taken = torch.zeros(graph.nodes, dtype=torch.bool)
    taken[torch.cat(train)] = True
    rest = ((graph.y >= 0) & ~taken).nonzero().flatten()
    rest = rest[torch.randperm(len(rest), generator=generator(seed, "rest"))]
    valid = min(VALID, len(rest) // 3)
    return {"train": torch.cat(train), "valid": rest[:valid], "test": rest[valid : valid + TEST]}


def _shuffled(graph: Graph, seed: int) -> list[Tensor]:
    """The nodes of each class in an order of its own, drawn."""
    found = []
    for label in range(len(graph.class_names)):
        nodes = (graph.y == label).nonzero().flatten()
        found.append(nodes[torch.randperm(len(nodes), generator=generator(seed, "nodes", label))])
    return found


def _check(graph: Graph, splits: Splits, protocol: str) -> None:
    counts = torch.bincount(graph.y[splits["train"]], minlength=len(graph.class_names))
    absent = [graph.class_names[label] for label in (counts == 0).nonzero().flatten().tolist()]
    if absent:
        raise DataError(
            f"class {_list(absent)} of graph '{graph.name}' has no training node under the protocol {protocol}: label more of "
            "its nodes, or choose another protocol"
        )
    if len(splits.get("test", ())) == 0:
        raise DataError(f"graph '{graph.name}' has no test node under the protocol '{protocol}': label more nodes")
    seen = torch.cat(list(splits.values()))
    if len(torch.unique(seen)) != len(seen):
        raise DataError(f"the splits of graph '{graph.name}' share nodes: a node may be in one split only")


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
