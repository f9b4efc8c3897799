"""The weights of Meta-GCN, in double precision and against single gradients."""

from __future__ import annotations

import pytest
import torch
from small_graph import task
from torch.nn import functional as F

from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.rows import Batch, Clock
from steelyard.core.task import Source, TaskView
from steelyard.data import ResidentSource
from steelyard.methods.graphs._meta_graph import MetaGraph
from steelyard.methods.graphs.meta_gcn import meta_gcn
from steelyard.tasks.graphs import GraphTask, checked
from steelyard.weightings import LearnToReweight
from steelyard.weightings.graphs import NeverIdle

SETTINGS = {"model": "gcn(dropout=0.0,hidden=8)"}


def doubled(whole: GraphTask) -> tuple[GraphTask, torch.nn.Module]:
    """The task and a model, in float64."""
    graph = whole.graph.replace(x=whole.graph.x.double())
    found = GraphTask(graph, {name: part.inputs for name, part in whole.splits.items()}, **SETTINGS)  # type: ignore[attr-defined]
    return found, found.model().double()


def all_rows(source: Source) -> Batch:
    index = torch.arange(len(source))
    return Batch(source.inputs, source.target, index)  # type: ignore[attr-defined]


def weights(whole: GraphTask, model: torch.nn.Module, meta: Source, batch: Batch, pool: RowPool | None = None) -> torch.Tensor:
    learned = LearnToReweight(pool or RowPool(meta, batch_size=len(meta)))
    oracle = Oracle(model, whole.forward, Objective(weighting=learned))
    oracle.clock = Clock()
    learned.prepare(oracle, batch)
    evaluation = oracle(batch)
    oracle.close()
    assert evaluation.weights is not None
    return evaluation.weights


def by_hand(whole: GraphTask, model: torch.nn.Module, meta: Batch, batch: Batch) -> torch.Tensor:
    """Clipped products of single gradients with the meta gradient, of mean 1."""

    def gradient(rows: Batch, only: int | None = None) -> torch.Tensor:
        losses = F.cross_entropy(whole.forward(model, rows).logits, rows.target, reduction="none")
        found = torch.autograd.grad(losses.mean() if only is None else losses[only], list(model.parameters()))
        return torch.cat([value.flatten() for value in found])

    direction = gradient(meta)
    products = torch.stack([gradient(batch, row) @ direction for row in range(len(batch.target))]).clamp_min(0)
    return products / products.mean()


def test_weights_are_clipped_products_of_gradients() -> None:
    whole, model = doubled(task(**SETTINGS))
    batch = all_rows(whole.splits["train"])
    found = weights(whole, model, whole.splits["valid"], batch)
    exact = by_hand(whole, model, all_rows(whole.splits["valid"]), batch)
    assert torch.allclose(found.double(), exact, rtol=1e-9, atol=1e-12)
    assert 0 < int((found == 0).sum()) < len(found)  # some nodes do not count


def test_meta_nodes_of_a_graph_of_their_own_see_each_other_only() -> None:
    whole, model = doubled(task(**SETTINGS))
    source, batch = whole.splits["valid"], all_rows(whole.splits["train"])
    pool = MetaGraph(source, whole.graph.x, whole.graph.edge_index, batch_size=len(source))
    nodes = source.inputs  # type: ignore[attr-defined]
    inside = torch.isin(whole.graph.edge_index, nodes).all(0)
    place = {int(node): i for i, node in enumerate(nodes)}
    edges = torch.tensor([[place[int(a)], place[int(b)]] for a, b in whole.graph.edge_index[:, inside].T]).reshape(-1, 2).T
    graph = {"x": whole.graph.x[nodes], "edge_index": edges}
    meta = Batch(torch.arange(len(nodes)), source.target, torch.arange(len(nodes)), extra={"graph": graph})
    assert 0 < edges.shape[1] < whole.graph.edge_index.shape[1]
    exact = by_hand(whole, model, meta, batch)
    assert torch.allclose(weights(whole, model, source, batch, pool).double(), exact, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(weights(whole, model, source, batch).double(), exact, rtol=1e-3)


def test_one_node_that_is_its_own_meta_set_weighs_1() -> None:
    whole, model = doubled(task(**SETTINGS))
    node = whole.splits["train"].inputs[:1]  # type: ignore[attr-defined]
    one = ResidentSource(node, whole.graph.y[node])
    assert weights(whole, model, one, all_rows(one)).tolist() == [1.0]


@pytest.mark.parametrize("uniform", [True, False])
def test_where_every_gradient_opposes_the_meta_gradient_all_weights_are_zero(uniform: bool) -> None:
    whole, model = doubled(task(**SETTINGS))
    node = whole.splits["train"].inputs[:1]  # type: ignore[attr-defined]
    label = int(whole.graph.y[node])
    with torch.no_grad():
        model.head.bias[label] += 2.0  # so that a step for another class raises the loss of this one
    meta, other = ResidentSource(node, torch.tensor([label])), ResidentSource(node, torch.tensor([(label + 1) % 3]))
    learned = NeverIdle(LearnToReweight(RowPool(meta, batch_size=1)), uniform=uniform)
    oracle, batch = Oracle(model, whole.forward, Objective(weighting=learned)), all_rows(other)
    learned.weighting.prepare(oracle, batch)
    found = oracle(batch)
    assert found.weights is not None and found.weights.tolist() == ([1.0] if uniform else [0.0])


def test_a_skipped_step_moves_nothing_and_a_uniform_one_does() -> None:
    whole = task(**SETTINGS)
    for when, moves in (("skip", False), ("uniform", True)):
        stage = next(meta_gcn(TaskView(whole), when_idle=when, meta_from="train"))  # type: ignore[arg-type]
        model = whole.model()
        oracle = Oracle(model, whole.forward, stage.objective)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
        for parameter in model.parameters():  # momentum from a step before
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        optimizer.zero_grad()
        before = [parameter.clone() for parameter in model.parameters()]
        batch = all_rows(whole.splits["train"])
        learned = stage.objective.weighting.weighting
        rows = oracle.keep(batch)
        learned._given = rows.target, torch.zeros(len(batch.target))  # what a lesson without a helpful row leaves
        stage.descent(oracle, batch)
        optimizer.step()
        moved = any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
        assert moved is moves


def test_the_rate_and_the_order_of_nodes_do_not_matter() -> None:
    whole, model = doubled(task(**SETTINGS))
    batch = all_rows(whole.splits["train"])
    first = weights(whole, model, whole.splits["valid"], batch)
    oracle_with_rate = Oracle(
        model, whole.forward, Objective(weighting=LearnToReweight(RowPool(whole.splits["valid"], batch_size=99)))
    )
    for rate in (1e-3, 10.0):
        oracle_with_rate.optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        oracle_with_rate.objective.weighting.prepare(oracle_with_rate, batch)
        again = oracle_with_rate(batch).weights
        assert again is not None and torch.allclose(again, first, rtol=1e-9)
    order = torch.randperm(whole.graph.nodes)
    place = torch.argsort(order)
    moved = checked("moved", whole.graph.x[order], place[whole.graph.edge_index], whole.graph.y[order])
    moved = moved.replace(x=whole.graph.x[order])
    splits = {name: place[part.inputs] for name, part in whole.splits.items()}  # type: ignore[attr-defined]
    renumbered = GraphTask(moved, splits, **SETTINGS)
    there = weights(renumbered, model, renumbered.splits["valid"], all_rows(renumbered.splits["train"]))
    assert torch.allclose(there, first, rtol=1e-9)
    mixed = torch.randperm(len(first))
    turned = Batch(batch.inputs[mixed], batch.target[mixed], batch.index[mixed])
    assert torch.allclose(weights(whole, model, whole.splits["valid"], turned), first[mixed], rtol=1e-9)


def test_meta_nodes_come_balanced_from_where_they_are_asked_for() -> None:
    view = TaskView(task(**SETTINGS))
    for where, source in (("valid", view.valid), ("train", view.train)):
        stage = next(meta_gcn(view, meta_from=where, meta_rows=2))  # type: ignore[arg-type]
        learned = stage.objective.weighting.weighting
        model = view.model()
        oracle = Oracle(model, task(**SETTINGS).forward, Objective())
        batches = [learned.meta.batch(oracle, number) for number in range(100)]
        nodes = torch.cat([batch.inputs for batch in batches])
        assert source is not None and set(nodes.tolist()) <= set(source.inputs.tolist())  # type: ignore[attr-defined]
        counts = torch.bincount(torch.cat([batch.target for batch in batches]))
        if where == "valid":  # the same nodes at every step
            assert counts.tolist() == [200, 200, 200] and len(set(nodes.tolist())) == 6
        else:
            assert len(batches[0].target) == 6 and (counts - 200).abs().max() < 60
