"""What all transforms of a graph share."""

from __future__ import annotations

import pytest
import torch
from small_graph import arrays

from steelyard.core.errors import ArgumentError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.transforms.graphs.frame import check_graph, drawn_nodes, edges_into, labels_of, lacking
from steelyard.transforms.graphs.node_oversample import NodeOversample


def test_edges_into_nodes_that_repeat() -> None:
    edges = torch.tensor([[3, 1, 2], [0, 0, 1]])
    start, owner = edges_into(edges, torch.tensor([1, 0, 2, 0]), 4)
    assert start.tolist() == [2, 3, 1, 3, 1] and owner.tolist() == [0, 1, 1, 3, 3]


def test_classes_lack_what_the_largest_has_more() -> None:
    y, mask = torch.tensor([0, 0, 0, 1, 1, 3]), torch.tensor([True, True, True, True, False, False])
    assert lacking(y, mask, 4, 1.0).tolist() == [0, 2, 0, 0]
    assert lacking(y, mask, 4, 0.5).tolist() == [0, 1, 0, 0]


def test_nodes_are_drawn_from_their_class_evenly() -> None:
    y, mask = torch.tensor([1, 0, 1, 0, 0, 1]), torch.tensor([True, True, True, True, True, False])
    drawn = drawn_nodes(y, mask, torch.tensor([3000, 2000]), torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn, minlength=6)
    assert counts[[1, 3, 4]].sum() == 3000 and counts[[0, 2]].sum() == 2000 and counts[5] == 0
    assert counts[:5].min() > 850


def test_a_batch_grows_by_rows_that_know_their_origin() -> None:
    found = arrays()
    over = NodeOversample(found["x"], found["edge_index"], 3)
    oracle = Oracle(torch.nn.Linear(1, 1), lambda *_: None, Objective())  # type: ignore[arg-type,return-value]
    nodes = torch.cat([(found["y"] == c).nonzero().flatten()[:n] for c, n in enumerate((5, 2, 1))])
    batch = Batch(nodes, found["y"][nodes], torch.arange(8) + 100)
    larger = over(oracle, batch)
    assert torch.equal(larger.inputs[:8], nodes) and larger.inputs[8:].tolist() == list(range(102, 109))
    assert torch.bincount(larger.target).tolist() == [5, 5, 5]
    assert torch.equal(larger.target, batch.target[larger.index - 100])
    graph = larger.extra["graph"]
    assert torch.equal(graph["x"][larger.inputs], found["x"][nodes][larger.index - 100])
    assert len(graph["x"]) == 109
    y, mask = labels_of(batch, 102)
    assert int(mask.sum()) == 8 and torch.equal(y[nodes], batch.target)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", torch.zeros(102)),
        ("edge_index", torch.zeros(3, 4, dtype=torch.int64)),
        ("edge_index", torch.full((2, 1), 102)),
        ("y", torch.zeros(5)),
        ("y", torch.full((102,), -1)),
        ("mask", torch.ones(102)),
        ("mask", torch.zeros(102, dtype=torch.bool)),
    ],
)
def test_what_is_no_graph_is_named(name: str, value: torch.Tensor) -> None:
    given = arrays() | {"mask": torch.ones(102, dtype=torch.bool)} | {name: value}
    with pytest.raises(ArgumentError, match=f"`{name}`"):
        check_graph(given["x"], given["edge_index"], given["y"], given["mask"])
