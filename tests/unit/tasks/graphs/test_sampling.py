"""Parts of a graph: whole where all neighbours are taken, and the same for a node whatever its batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_graph import graph, task

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Batch
from steelyard.tasks.graphs.sampling import Neighbours


def pairs(part: dict[str, torch.Tensor]) -> set[tuple[int, int]]:
    return set(map(tuple, part["nodes"][part["edge_index"]].T.tolist()))


@pytest.mark.parametrize("model", ["gcn", "sage", "gat", "gcn(layers=3)", "mlp"])
def test_with_all_neighbours_a_part_scores_as_the_whole_graph_does(model: str) -> None:
    layers = 3 if "3" in model else 2
    whole, parts = task(model=model), task(model=model, neighbours=[1000] * layers)
    net = whole.model().eval()
    nodes = torch.tensor([5, 40, 5, 88, 17])
    target, index = torch.zeros(5, dtype=torch.int64), torch.arange(5)
    exact = whole.forward(net, Batch(nodes, target, index)).logits
    stream = torch.Generator().manual_seed(1)
    drawn = parts.load(nodes, augment="none", generator=stream)
    assert drawn.shape == (5, 2)
    for inputs in (drawn, nodes):
        assert torch.allclose(parts.forward(net, Batch(inputs, target, index)).logits, exact, atol=1e-5)
    logits, _ = parts.predict(net, parts.splits["test"])
    assert torch.allclose(logits, whole.predict(net, whole.splits["test"])[0], atol=1e-5)


@given(st.integers(0, 1 << 62), st.integers(1, 4))
def test_a_node_has_the_same_neighbours_in_every_batch_of_a_draw(draw: int, limit: int) -> None:
    found = graph()
    neighbours = Neighbours(found.edge_index, found.nodes)
    seeds = torch.tensor([3, 50, 7])
    together = neighbours.part(seeds, [limit], draw)
    real = set(map(tuple, found.edge_index.T.tolist()))
    assert pairs(together) <= real
    for node in seeds.tolist():
        alone = neighbours.part(torch.tensor([node]), [limit], draw)
        assert pairs(alone) == {pair for pair in pairs(together) if pair[1] == node}
        degree = int(neighbours.degree[node])
        assert len(pairs(alone)) == min(limit, degree)
        assert alone["scale"].sum() == pytest.approx(degree)


def test_draws_differ_and_are_fair() -> None:
    star = torch.stack([torch.arange(1, 11), torch.zeros(10, dtype=torch.int64)])
    neighbours = Neighbours(star, 11)
    counts = torch.zeros(11)
    for draw in range(2000):
        part = neighbours.part(torch.tensor([0]), [3], draw * 7919)
        counts[part["nodes"][part["edge_index"][0]]] += 1
    assert counts.sum() == 6000
    assert (counts[1:] - 600).abs().max() < 100  # 5 standard deviations of a binomial


def test_an_isolated_node_is_alone() -> None:
    part = Neighbours(torch.tensor([[0, 1], [1, 0]]), 3).part(torch.tensor([2, 2]), [4, 4], 9)
    assert part["nodes"].tolist() == [2]
    assert part["node"].tolist() == [0, 0]
    assert part["edge_index"].shape == (2, 0)


def test_sampled_gcn_messages_are_right_on_average() -> None:
    """One layer is linear in the messages: the mean over draws is what the whole graph gives."""
    whole, parts = task(model="gcn(layers=1)"), task(model="gcn(layers=1)", neighbours=(2,))
    net = whole.model().eval()
    nodes, none = torch.arange(20), torch.zeros(20, dtype=torch.int64)
    exact = whole.forward(net, Batch(nodes, none, nodes)).logits
    stream = torch.Generator().manual_seed(0)
    total = sum(
        parts.forward(net, Batch(parts.load(nodes, augment="none", generator=stream), none, nodes)).logits for _ in range(600)
    )
    assert torch.allclose(total / 600, exact, atol=0.15)
    assert not torch.allclose(
        parts.forward(net, Batch(parts.load(nodes, augment="none", generator=stream), none, nodes)).logits, exact, atol=0.15
    )


@pytest.mark.parametrize("neighbours", [(), (0, 2), (5,), (5, 5, 5)])
def test_neighbours_that_do_not_fit_the_layers_are_refused(neighbours: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="neighbours"):
        task(neighbours=neighbours)
