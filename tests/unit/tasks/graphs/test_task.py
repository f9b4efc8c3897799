"""Nodes as rows."""

from __future__ import annotations

import json

import pytest
import torch
from small_graph import graph, task

from steelyard.core.errors import CombinationError, DataError
from steelyard.core.measure import predict_logits
from steelyard.core.rows import Batch
from steelyard.core.task import TaskView
from steelyard.tasks.graphs import GraphTask, split


def batch(nodes: list[int]) -> Batch:
    index = torch.tensor(nodes)
    return Batch(index, torch.zeros_like(index), index)


def test_rows_are_labelled_nodes_and_the_whole_graph_scores_them() -> None:
    found = task()
    model = found.model().eval()
    rows = found.forward(model, batch([3, 3, 8]))
    assert rows.logits.shape == (3, 3)
    assert torch.equal(rows.logits[0], rows.logits[1])
    logits, target = predict_logits(found, model, found.splits["test"])
    nodes = found.splits["test"].inputs  # type: ignore[attr-defined]
    assert torch.equal(target, found.graph.y[nodes])
    assert torch.allclose(logits, found.forward(model, batch(nodes.tolist())).logits, atol=1e-6)


def test_a_neighbour_matters_and_a_stranger_does_not() -> None:
    found = task()
    model = found.model().eval()
    node = int(found.graph.edge_index[1, 0])
    near = {node, *found.graph.edge_index[0][found.graph.edge_index[1] == node].tolist()}
    near |= {int(a) for n in near for a in found.graph.edge_index[0][found.graph.edge_index[1] == n]}
    far = next(n for n in range(102) if n not in near)
    before = found.forward(model, batch([node])).logits
    for changed, same in ((far, True), (int(found.graph.edge_index[0, 0]), False)):
        x = found.graph.x.clone()
        x[changed] += 5
        other = GraphTask(found.graph.replace(x=x), {k: v.inputs for k, v in found.splits.items()})  # type: ignore[attr-defined]
        assert torch.allclose(other.forward(model, batch([node])).logits, before) is same


def test_what_the_report_says_is_json() -> None:
    facts = task().describe()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["kind"] == "graphs" and facts["nodes"] == 102 and facts["counts"]["train"] == [36, 18, 7]
    assert {"edges", "mean_degree", "isolated_nodes", "homophily"} <= facts.keys()


def test_methods_see_the_graph_and_no_test_label() -> None:
    view = TaskView(task())
    assert set(view.context) == {"x", "edge_index", "neighbours"}
    assert "test" not in view._visible.splits


def test_nodes_cannot_be_mixed() -> None:
    found = task()
    mixed = Batch(torch.tensor([1, 2]), torch.zeros(4, dtype=torch.int64), torch.arange(4), owner=torch.tensor([0, 1, 0, 1]))
    for one in (mixed, batch([1]).replace(inputs=torch.randn(1, 6))):
        with pytest.raises(CombinationError, match="cannot be mixed"):
            found.forward(found.model(), one)


def test_mixtures_of_embeddings_need_a_hidden_layer_of_ours() -> None:
    mixed = {"first": torch.tensor([0]), "second": torch.tensor([1]), "share": torch.tensor([0.5])}
    extra = {"mixed": mixed | {"edge_index": torch.tensor([[0], [102]])}}
    found = task()
    rows = found.forward(found.model(), batch([102, 3]).replace(extra=extra))
    assert rows.logits.shape == (2, 3) and "embeddings" in rows.extra
    own = task(model=torch.nn.Linear(6, 3))
    with pytest.raises(CombinationError, match="by name"):
        own.forward(own.model(), batch([3]).replace(extra=extra))


def test_augmentations_are_unknown_and_an_empty_validation_split_is_none() -> None:
    found = task()
    with pytest.raises(DataError, match="no augmentation"):
        found.load(torch.tensor([1]), augment="crop-flip", generator=None)
    whole = graph()
    splits = split(whole, "random") | {"valid": torch.empty(0, dtype=torch.int64)}
    assert "valid" not in GraphTask(whole, splits).splits
    assert GraphTask(whole, splits, neighbours=(3, 2)).usual_regime == "graphs_sampled"
