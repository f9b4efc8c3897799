"""Networks by name: what they compute, and what methods can get at."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_graph import graph, task
from torch import nn
from torch.nn import functional as F

from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName
from steelyard.core.head import find_head
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.numeric.graph import adjacency, gcn_edges, in_degree, mean_of_neighbours
from steelyard.numeric.sparse import Sparse
from steelyard.tasks.graphs import GraphTask, checked, nets, split
from steelyard.tasks.graphs.library import geometric

BY_NAME = ["gcn", "sage", "gat", "mlp"]


def view() -> dict[str, Any]:
    whole = graph()
    return {"x": whole.x, "edge_index": whole.edge_index, "node": torch.arange(whole.nodes)}


def test_gcn_is_its_formula() -> None:
    net, seen = nets.GCN(6, 3).eval(), view()
    edges, weights = gcn_edges(seen["edge_index"], in_degree(seen["edge_index"], len(seen["x"])))
    matrix = adjacency(edges, weights, len(seen["x"])).to_dense()
    first, message, head = net.linears[0], net.messages[0], net.head
    hidden = F.relu(matrix @ (seen["x"] @ first.weight.T) + message.bias)
    assert torch.allclose(net(seen), matrix @ (hidden @ head.weight.T) + head.bias, atol=1e-5)


def test_sage_is_its_formula() -> None:
    net, seen = nets.SAGE(6, 3).eval(), view()
    others, own = net.of_others[0], net.of_itself[0]
    hidden = F.relu(others(mean_of_neighbours(seen["x"], seen["edge_index"])) + own(seen["x"]))
    # A node without neighbours gets no message, and so not the bias of the messages either.
    alone = in_degree(seen["edge_index"], len(seen["x"])) == 0
    hidden[alone] = F.relu(own(seen["x"][alone]))
    whole = torch.cat([mean_of_neighbours(hidden, seen["edge_index"]), hidden], 1)
    assert torch.allclose(net(seen), net.head(whole), atol=1e-5)


def test_the_control_looks_at_no_edge() -> None:
    net, seen = nets.NodeMLP(6, 3).eval(), view()
    assert torch.equal(net(seen), net(seen | {"edge_index": torch.empty(2, 0, dtype=torch.int64)}))


@pytest.mark.parametrize("name", BY_NAME)
def test_sparse_features_score_as_dense_ones_do(name: str) -> None:
    net, seen = nets.NETS[name](6, 3).eval(), view()
    assert torch.allclose(net(seen), net(seen | {"x": Sparse.of(seen["x"])}), atol=1e-5)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_head_is_linear_and_its_input_are_the_features_of_the_rows(name: str) -> None:
    found = task(model=name)
    model = found.model().eval()
    name_of_head, head = find_head(model) or ("", None)
    assert name_of_head == "head" and isinstance(head, nn.Linear)
    nodes = torch.tensor([4, 9, 2])
    rows = Oracle(model, found.forward, Objective()).rows(Batch(nodes, torch.zeros(3, dtype=torch.int64), nodes))
    assert rows.features is not None
    assert torch.allclose(head(rows.features), rows.logits)


class TheirGCN(nn.Module):
    """As users of torch_geometric write it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = geometric("nn").GCNConv(6, 8)
        self.out = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.out(F.relu(self.conv(x, edge_index)))


def test_a_module_of_the_users_own_is_scored_at_the_rows() -> None:
    net = TheirGCN()
    found = task(model=net)
    model = found.model().eval()
    nodes = torch.tensor([4, 9, 2])
    rows = Oracle(model, found.forward, Objective()).rows(Batch(nodes, torch.zeros(3, dtype=torch.int64), nodes))
    assert torch.allclose(rows.logits, net(found.graph.x, found.graph.edge_index)[nodes], atol=1e-5)
    assert rows.features is not None and torch.allclose(net.out(rows.features), rows.logits, atol=1e-5)


@pytest.mark.parametrize("settings", ["layers=0", "hidden=0", "dropout=1.0"])
def test_settings_out_of_range_are_named(settings: str) -> None:
    with pytest.raises(ArgumentError, match=settings.partition("=")[0]):
        task(model=f"sage({settings})")


def test_names_and_settings_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UnknownName, match="model for graphs"):
        task(model="resnet32")
    with pytest.raises(UnknownName, match="hiden"):
        task(model="gcn(hiden=3)")
    with pytest.raises(ArgumentError, match="heads"):
        task(model="gat(heads=3,hidden=64)")
    with pytest.raises(ArgumentError, match="model_settings"):
        task(model="gcn", model_settings={"heads": 2})


def test_without_torch_geometric_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch_geometric.nn", None)
    with pytest.raises(SteelyardError, match=r"steelyard\[graph\]"):
        nets.GCN(6, 3)


def test_a_graph_without_edges_is_learnt_from() -> None:
    whole = checked("no edges", torch.randn(40, 4), torch.empty(2, 0), [0, 1] * 20)
    for name in BY_NAME:
        found = GraphTask(whole, split(whole, "random"), model=name)
        logits, _ = found.predict(found.model().eval(), found.splits["test"])
        assert torch.isfinite(logits).all()
