"""Who trains, validates and tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_graph import graph

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.tasks.graphs import Graph, read_graph
from steelyard.tasks.graphs.protocols import PROTOCOLS, Draw, geometric_counts, planetoid_like, split


def counts(found: Graph, nodes: torch.Tensor) -> list[int]:
    return torch.bincount(found.y[nodes], minlength=len(found.class_names)).tolist()


def unlinked(sizes: list[int], unknown: int = 0) -> Graph:
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    y = torch.cat([y, torch.full((unknown,), -1)])
    return Graph("g", torch.zeros(len(y), 1), torch.empty(2, 0, dtype=torch.int64), y, tuple(map(str, range(len(sizes)))))


@pytest.fixture(scope="module")
def cora(shared_data: Path) -> Graph:
    return read_graph(shared_data / "planetoid" / "cora")


@pytest.fixture(scope="module")
def citeseer(shared_data: Path) -> Graph:
    return read_graph(shared_data / "planetoid" / "citeseer")


def test_step_protocols_on_citation_graphs(cora: Graph, citeseer: Graph) -> None:
    for name in ("graphens-step10", "tam-step10"):
        assert counts(cora, split(cora, name)["train"]) == [20, 20, 20, 20, 2, 2, 2]
        assert counts(citeseer, split(citeseer, name)["train"]) == [20, 20, 20, 2, 2, 2]
        found = split(cora, name, Draw(seed=3))
        assert torch.equal(found["test"], cora.masks["test"]) and torch.equal(found["valid"], cora.masks["valid"])
        assert set(found["train"].tolist()) <= set(cora.masks["train"].tolist())
    assert counts(cora, split(cora, "graphens-step10", Draw(ratio=20, minority=1))["train"]) == [20] * 6 + [1]


def test_with_three_classes_the_papers_differ() -> None:
    """PubMed: two minority classes in GraphENS, 24 labels; one in TAM, 42 labels."""
    pubmed = unlinked([400, 400, 400])
    assert counts(pubmed, split(pubmed, "graphens-step10")["train"]) == [20, 2, 2]
    assert counts(pubmed, split(pubmed, "tam-step10")["train"]) == [20, 20, 2]


def test_graphsmote_on_cora(cora: Graph) -> None:
    found = split(cora, "graphsmote-cora")
    assert counts(cora, found["train"]) == [20, 20, 20, 20, 10, 10, 10]
    assert counts(cora, found["valid"]) == [25] * 7
    assert counts(cora, found["test"]) == [55] * 7
    assert counts(cora, split(cora, "graphsmote-cora", Draw(ratio=20))["train"])[-3:] == [1, 1, 1]


def test_igl_on_cora(cora: Graph) -> None:
    for ratio, wanted in ((None, [109, 66, 40, 24, 15, 9, 5]), (100, [145, 67, 31, 15, 7, 3, 1]), (1, [39] * 7)):
        found = split(cora, "igl-lt-20", Draw(ratio=ratio))
        assert sorted(counts(cora, found["train"]), reverse=True) == wanted
        assert counts(cora, found["valid"]) == [39] * 7
        assert sum(map(len, found.values())) == cora.nodes
    sizes = torch.tensor(counts(cora, torch.arange(cora.nodes)))
    train = torch.tensor(counts(cora, split(cora, "igl-lt-20")["train"]))
    assert torch.equal(torch.argsort(-sizes), torch.argsort(-train))  # the largest class stays the largest


def test_random_is_60_20_20_of_each_class_and_shuffled() -> None:
    found = split(unlinked([500, 268, 225, 81], unknown=7), "random")
    whole = unlinked([500, 268, 225, 81])
    assert [counts(whole, found[name]) for name in ("train", "valid", "test")] == [
        [300, 160, 135, 48], [100, 54, 45, 16], [100, 54, 45, 17]
    ]  # fmt: skip
    assert found["train"][:300].tolist() != list(range(300))


@given(st.sampled_from([name for name in PROTOCOLS if name != "public"]), st.integers(0, 10), st.integers(0, 4))
def test_splits_are_disjoint_seeded_and_of_known_nodes(name: str, seed: int, unknown: int) -> None:
    whole = unlinked([60, 50, 45, 40], unknown)
    found, again = split(whole, name, Draw(seed)), split(whole, name, Draw(seed))
    nodes = torch.cat(list(found.values()))
    assert len(torch.unique(nodes)) == len(nodes)
    assert bool((whole.y[nodes] >= 0).all())
    assert all(torch.equal(found[key], again[key]) for key in found)
    assert not torch.equal(found["train"], split(whole, name, Draw(seed + 1))["train"])


def test_wrong_protocols_are_refused_in_a_sentence() -> None:
    whole = unlinked([30, 30])
    with pytest.raises(UnknownName, match="graphens-step10"):
        split(whole, "graphens")
    with pytest.raises(DataError, match="came without splits"):
        split(whole, "public")
    for draw, words in ((Draw(ratio=0.5), "ratio"), (Draw(minority=2), "minority"), (Draw(minority=0), "minority")):
        with pytest.raises(ArgumentError, match=words):
            split(whole, "tam-step10", draw)
    with pytest.raises(ArgumentError, match="no use for it"):
        split(whole, "random", Draw(ratio=3))
    with pytest.raises(DataError, match="share nodes"):
        both = torch.arange(0, 60, 2)
        split(whole.replace(masks={"train": both, "test": both}), "public")


def test_a_class_without_training_node_is_named() -> None:
    whole = unlinked([30, 30]).replace(class_names=("a", "b", "rare"))
    with pytest.raises(DataError, match=r"'rare'.*no training node"):
        split(whole, "random")
    with pytest.raises(DataError, match=r"'1'.*needs"):
        split(unlinked([90, 5]), "graphsmote-cora")
    with pytest.raises(DataError, match="no test node"):
        split(unlinked([1, 1]), "random")


def test_a_graph_without_splits_gets_planetoid_like_ones() -> None:
    found = planetoid_like(unlinked([2000, 600, 10]), 0)
    assert len(found["valid"]) == 500 and len(found["test"]) == 1000
    assert counts(unlinked([2000, 600, 10]), found["train"]) == [20, 20, 5]


def test_counts_add_up() -> None:
    assert geometric_counts(100, 1, 5.0) == [100]
    assert len(split(graph())["train"]) == 36 + 18 + 7
