"""What is a graph and what is not."""

from __future__ import annotations

import pytest
import torch
from small_graph import arrays

from steelyard.core.errors import ArgumentError, DataError
from steelyard.tasks.graphs.graph import checked, with_features


def test_edges_go_both_ways_once_and_without_loops() -> None:
    found = checked("g", torch.eye(3), [[0, 1, 2, 0], [1, 0, 2, 1]], [0, 1, 1])
    assert found.edge_index.tolist() == [[0, 1], [1, 0]]
    assert checked("g", torch.eye(3), [[0, 2], [1, 2]], [0, 1, 1], directed=True).edge_index.tolist() == [[0], [1]]
    assert found.statistics() == {
        "nodes": 3, "edges": 1, "mean_degree": pytest.approx(2 / 3), "isolated_nodes": 1, "homophily": 0.0,
        "homophily_by_chance": pytest.approx(5 / 9),
    }  # fmt: skip


def test_labels_are_numbered_and_unknown_ones_kept_apart() -> None:
    found = checked("g", torch.eye(4), torch.empty(2, 0), [7, -1, 3, 7])
    assert found.class_names == ("3", "7")
    assert found.y.tolist() == [1, -1, 0, 1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": torch.empty(0, 3), "y": torch.empty(0)}, "is empty"),
        ({"x": torch.ones(102)}, r"\[nodes, features\]"),
        ({"x": torch.empty(102, 0)}, r"\[nodes, features\]"),
        ({"y": torch.zeros(5)}, "one class a node"),
        ({"y": torch.zeros(102)}, "1 classes"),
        ({"y": torch.full((102,), -1)}, "0 classes"),
        ({"y": torch.full((102,), 0.5)}, "whole numbers"),
        ({"edge_index": torch.tensor([[0], [102]])}, "node 102, but nodes are numbered 0 to 101"),
        ({"edge_index": torch.tensor([[-1], [3]])}, "node -1"),
        ({"edge_index": torch.zeros(9, 2)}, "transposed"),
        ({"edge_index": torch.full((2, 1), 0.5)}, "whole node numbers"),
        ({"x": [["a"]]}, "hold numbers"),
    ],
)
def test_what_is_no_graph_is_refused_in_a_sentence(changes: dict[str, object], words: str) -> None:
    given = arrays() | changes
    with pytest.raises(DataError, match=words):
        checked("g", given["x"], given["edge_index"], given["y"])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_without_a_value_name_their_node(value: float) -> None:
    given = arrays()
    given["x"][17, 2] = value
    with pytest.raises(DataError, match="1 nodes, the first of them node 17"):
        checked("g", **given)


def test_features_are_scaled() -> None:
    x = torch.tensor([[1.0, 3.0], [0.0, 0.0], [2.0, 2.0]])
    found = checked("g", x, torch.empty(2, 0), [0, 1, 1])
    assert with_features(found, "row").x.tolist() == [[0.25, 0.75], [0, 0], [0.5, 0.5]]
    standard = with_features(found, "standard").x
    assert torch.allclose(standard.mean(0), torch.zeros(2), atol=1e-6)
    assert torch.allclose(standard.std(0, correction=0), torch.ones(2))
    assert with_features(found, "raw") is found
    with pytest.raises(ArgumentError, match="features"):
        with_features(found, "other")
