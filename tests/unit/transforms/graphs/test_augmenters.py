"""What the augmenters of graphs add, by hand and by their laws; each used alone, as `augment(x, edge_index, y, mask)`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_graph import arrays

from steelyard.core.errors import ArgumentError
from steelyard.losses.graphs.edge_reconstruction import EdgeDecoder
from steelyard.numeric.graph import in_degree
from steelyard.tasks.graphs.nets import GCN
from steelyard.transforms.graphs.balanced_topology import BalancedTopology
from steelyard.transforms.graphs.frame import Augmented
from steelyard.transforms.graphs.graph_ens import GraphENS
from steelyard.transforms.graphs.graph_smote import GraphSMOTE
from steelyard.transforms.graphs.node_oversample import NodeOversample

Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def case(seed: int = 0, labelled: tuple[int, ...] = (8, 3, 1)) -> Case:
    """x, edges both ways, y and a mask with so many nodes of each class."""
    found = arrays(seed=seed)
    pairs = torch.cat([found["edge_index"], found["edge_index"].flip(0)], 1)
    mask = torch.zeros(len(found["y"]), dtype=torch.bool)
    for label, count in enumerate(labelled):
        mask[(found["y"] == label).nonzero().flatten()[:count]] = True
    return found["x"], torch.unique(pairs[:, pairs[0] != pairs[1]], dim=1), found["y"], mask


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scores(seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(102, 3, generator=generator(seed))


def made(name: str, seed: int) -> tuple[Case, Augmented]:
    x, edges, y, mask = given_case = case(seed)
    draws = generator(seed)
    ways: dict[str, Callable[[], Augmented]] = {
        "over": lambda: NodeOversample(x, edges, 3).augment(x, edges, y, mask, generator=draws),
        "smote": lambda: GraphSMOTE(x, edges, 3, space="features").augment(x, edges, y, mask, generator=draws),
        "ens": lambda: GraphENS(x, edges, 3).augment(
            x, edges, y, mask, logits=scores(seed), saliency=torch.rand(12, 6), generator=draws
        ),
        "first ens": lambda: GraphENS(x, edges, 3).augment(x, edges, y, mask, generator=draws),
        "bat": lambda: BalancedTopology(x, edges, torch.tensor([8, 3, 1])).augment(
            x, edges, y, mask, logits=scores(seed), generator=draws
        ),
    }
    return given_case, ways[name]()


@given(st.sampled_from(["over", "smote", "ens", "first ens", "bat"]), st.integers(0, 20))
def test_what_was_there_stays_and_what_is_new_is_labelled(name: str, seed: int) -> None:
    (x, edges, y, mask), found = made(name, seed)
    _, again = made(name, seed)
    nodes, added = len(x), len(found.parent)
    assert torch.equal(found.x[:nodes], x) and torch.equal(found.y[:nodes], y) and torch.equal(found.mask[:nodes], mask)
    assert torch.equal(found.edge_index[:, : edges.shape[1]], edges)
    new = found.edge_index[:, edges.shape[1] :]
    assert bool((new >= nodes).any(0).all()) and bool((new < nodes).any(0).all())  # between an old and a new node
    assert len(found.x) == nodes + added and bool(found.mask[nodes:].all())
    assert bool(mask[found.parent].all())
    if name != "first ens":
        assert torch.equal(found.x, again.x) or name == "ens"  # the saliency of `ens` is drawn elsewhere


@given(st.sampled_from(["over", "smote", "ens", "first ens"]), st.integers(0, 20))
def test_classes_are_equally_large_afterwards(name: str, seed: int) -> None:
    _, found = made(name, seed)
    assert torch.bincount(found.y[found.mask]).tolist() == [8, 8, 8]
    assert torch.equal(found.y[found.parent], found.y[102:])


def test_a_one_way_copy_is_a_repeated_row_and_a_two_way_copy_is_not() -> None:
    x, edges, y, mask = case()
    net = GCN(6, 3).eval()
    exact = net({"x": x, "edge_index": edges, "node": torch.arange(102)})
    for both in (False, True):
        found = NodeOversample(x, edges, 3, both_ways=both).augment(x, edges, y, mask, generator=generator())
        whole = net({"x": found.x, "edge_index": found.edge_index, "node": torch.arange(len(found.x))})
        assert torch.allclose(whole[:102], exact, atol=1e-5) is not both
        assert torch.allclose(whole[102:], exact[found.parent], atol=1e-5) is not both


def neighbours(edges: torch.Tensor, node: int) -> set[int]:
    return set(edges[0][edges[1] == node].tolist())


@given(st.integers(0, 20))
def test_a_smote_node_has_the_edges_of_both_parents_and_lies_between_them(seed: int) -> None:
    x, edges, y, mask = case(seed)
    smote = GraphSMOTE(x, edges, 3)
    first, second, share, new = smote.mixtures(x, edges, y, mask, generator(seed))
    assert torch.equal(y[first], y[second])
    alone = y[first] == 2
    assert bool((first == second)[alone].all()) and not bool((first == second)[~alone].any())
    for place, (one, other) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        union = neighbours(edges, one) | neighbours(edges, other)
        assert neighbours(new, 102 + place) == union == set(new[1][new[0] == 102 + place].tolist())
        same = (mask & (y == y[one])).nonzero().flatten()
        gaps = (x[same] - x[one]).norm(dim=1)
        if len(same) > 1:
            assert (x[other] - x[one]).norm() == pytest.approx(float(gaps[gaps > 0].min()), rel=1e-4)
    assert bool(((share >= 0) & (share < 1)).all())


def test_the_released_index_wires_new_nodes_to_other_neighbours() -> None:
    """Class-local places are read as node numbers: 1, 2, 1 where 8, 9, 8 are meant."""
    x = torch.zeros(10, 1)
    x[7:, 0] = torch.tensor([0.0, 1.0, 1.5])
    y = torch.tensor([0] * 7 + [1] * 3)
    edges = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 0, 7, 8, 9]])
    mask = torch.ones(10, dtype=torch.bool)
    for index, wanted in (("fixed", {7: {3, 4}, 8: {4, 5}, 9: {4, 5}}), ("released", {7: {3, 0}, 8: {4, 1}, 9: {5, 0}})):
        smote = GraphSMOTE(x, edges, 2, index=index)  # type: ignore[arg-type]
        first, _, _, new = smote.mixtures(x, edges, y, mask, generator())
        for place, parent in enumerate(first.tolist()):
            assert neighbours(new, 10 + place) == wanted[parent], index


def test_a_decoder_drops_edges_that_it_finds_unlikely() -> None:
    x, edges, y, mask = case()
    decoder = EdgeDecoder(6)
    with torch.no_grad():
        decoder.form.copy_(-100 * torch.eye(6))
    few = GraphSMOTE(x, edges, 3, decoder=decoder).mixtures(x, edges, y, mask, generator())[3]
    every = GraphSMOTE(x, edges, 3).mixtures(x, edges, y, mask, generator())[3]
    assert 0 <= few.shape[1] < every.shape[1]
    pairs = set(map(tuple, every.T.tolist()))
    assert set(map(tuple, few.T.tolist())) <= pairs


@given(st.integers(0, 20))
def test_ens_edges_are_one_way_of_the_parents_and_no_more_than_the_source_has(seed: int) -> None:
    (_x, edges, _y, mask), found = made("ens", seed)
    new = found.edge_index[:, edges.shape[1] :]
    assert bool((new[0] < 102).all()) and bool((new[1] >= 102).all())  # no edge from a synthetic to an original node
    degree, labelled = in_degree(edges, 102), mask.nonzero().flatten().tolist()
    reachable = set().union(*(neighbours(edges, node) for node in labelled))
    for place, parent in enumerate(found.parent.tolist()):
        mine = new[0][new[1] == 102 + place]
        assert len(mine) <= int(degree[parent]) and len(mine.unique()) == len(mine)
        assert set(mine.tolist()) <= reachable


def test_first_ens_nodes_have_the_neighbours_of_their_source() -> None:
    (_x, edges, _, _), found = made("first ens", 3)
    for place, parent in enumerate(found.parent.tolist()):
        assert neighbours(found.edge_index, 102 + place) == neighbours(edges, parent)


def test_ens_takes_features_that_matter_from_the_source() -> None:
    """With keep = 1 and sure predictions, all features are the source's; with none mattering more, a mixture."""
    x, edges, y, mask = case()
    sure = 50.0 * torch.nn.functional.one_hot((y + 1) % 3, 3)
    ens = GraphENS(x, edges, 3, keep=1.0, temperature=0.01)
    ones = torch.ones(12, 6)
    found = ens.augment(x, edges, y, mask, logits=sure.float(), saliency=ones, generator=generator())
    kept = (found.x[102:] == x[found.parent]).double().mean()
    plain = ens.augment(x, edges, y, mask, logits=sure.float(), generator=generator())
    assert kept > 0.4 > (plain.x[102:] == x[plain.parent]).double().mean()


def test_ens_targets_with_one_node_a_class_are_drawn_evenly() -> None:
    x, edges, y, _ = case()
    mask = torch.zeros(102, dtype=torch.bool)
    mask[(y == 0).nonzero().flatten()[0]] = mask[(y == 1).nonzero().flatten()[0]] = True
    found = GraphENS(x, edges, 3).augment(x, edges, y, mask, logits=scores(), generator=generator())
    assert len(found.parent) == 0


def test_bat_by_hand() -> None:
    """Node 2 is taken for class 1 with doubt .4, the others are sure; half of its neighbours are of class 0."""
    edges = torch.tensor([[2, 2, 0, 1], [0, 1, 2, 2]])
    chances = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.4, 0.6]])
    bat = BalancedTopology(torch.eye(3), edges, torch.tensor([1, 2]))
    links = bat.links(chances, torch.tensor([0, 1, 1]), edges)
    # class 1 has mean doubt .2; risk (.4 - .2) * 2 / 2, all on the only other class
    assert torch.allclose(links, torch.tensor([[0, 0], [0, 0], [0.2, 0]]))
    rare = BalancedTopology(torch.eye(3), edges, torch.tensor([4, 1]), order=0)
    assert torch.allclose(rare.links(chances, torch.tensor([0, 1, 1]), edges)[2], torch.tensor([0.05, 0.0]))


@given(st.integers(0, 30), st.sampled_from([0, 1]))
def test_bat_links_are_probabilities_and_never_to_the_own_class(seed: int, order: int) -> None:
    x, edges, y, _ = case(seed)
    chances = torch.softmax(scores(seed), 1)
    links = BalancedTopology(x, edges, torch.tensor([8, 3, 1]), order=order).links(chances, y, edges)  # type: ignore[arg-type]
    assert bool((links >= 0).all()) and float(links.sum(1).max()) <= 1
    assert bool((links.gather(1, y[:, None]) == 0).all())


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda x, e: NodeOversample(x, e, 3, ratio=2), "ratio"),
        (lambda x, e: GraphSMOTE(x, e, 3, ratio=-1), "ratio"),
        (lambda x, e: GraphSMOTE(x, e, 3, space="other"), "space"),
        (lambda x, e: GraphSMOTE(x, e, 3, index="other"), "index"),
        (lambda x, e: GraphENS(x, e, 3, keep=2), "keep"),
        (lambda x, e: GraphENS(x, e, 3, temperature=0), "temperature"),
        (lambda x, e: GraphENS(x, e, 3, warmup=-1), "warmup"),
        (lambda x, e: BalancedTopology(x, e, torch.ones(3), order=2), "order"),
    ],
)
def test_settings_out_of_range_are_named(make: Callable[..., object], name: str) -> None:
    x, edges, _, _ = case()
    with pytest.raises(ArgumentError, match=f"`{name}`"):
        make(x, edges)
