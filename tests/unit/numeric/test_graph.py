"""Matrices and walks of graphs, against their dense definitions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.numeric.graph import (
    adjacency,
    distinct,
    gcn_edges,
    homophily,
    in_degree,
    mean_of_neighbours,
    pagerank,
    undirected,
)


def edges_of(nodes: int, seed: int, count: int = 25) -> torch.Tensor:
    return torch.randint(nodes, (2, count), generator=torch.Generator().manual_seed(seed))


def a_hat(edges: torch.Tensor, nodes: int) -> torch.Tensor:
    whole, weights = gcn_edges(edges, in_degree(edges, nodes))
    return adjacency(whole, weights.double(), nodes).to_dense()


@given(st.integers(0, 50), st.integers(2, 12))
def test_a_hat_is_symmetric_with_a_spectrum_in_one_and_an_isolated_node_is_itself(seed: int, nodes: int) -> None:
    edges = undirected(edges_of(nodes, seed), nodes)
    matrix = a_hat(torch.cat([edges], 1), nodes + 1)  # one more node, without edges
    dense = torch.zeros(nodes + 1, nodes + 1, dtype=torch.float64)
    dense[edges[1], edges[0]] = 1
    dense += torch.eye(nodes + 1, dtype=torch.float64)
    root = dense.sum(1).rsqrt()
    assert torch.allclose(matrix, root[:, None] * dense * root, atol=1e-6)
    assert torch.equal(matrix, matrix.T)
    assert float(torch.linalg.eigvalsh(matrix).abs().max()) <= 1 + 1e-6
    assert torch.equal(matrix[-1], torch.eye(nodes + 1, dtype=torch.float64)[-1])


@given(st.integers(0, 50), st.booleans())
def test_pagerank_is_the_inverse(seed: int, transposed: bool) -> None:
    edges = distinct(edges_of(8, seed), 8)
    start = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    matrix = a_hat(edges, 8)
    matrix = matrix.T if transposed else matrix
    exact = 0.15 * torch.linalg.solve(torch.eye(8, dtype=torch.float64) - 0.85 * matrix, start)
    assert torch.allclose(pagerank(edges, start, transposed=transposed), exact, atol=1e-7)


@given(st.integers(0, 50))
def test_undirected_edges_are_there_both_ways_and_once(seed: int) -> None:
    edges = edges_of(6, seed)
    found = undirected(edges, 6)
    pairs = set(map(tuple, found.T.tolist()))
    assert len(pairs) == found.shape[1]
    assert pairs == {(b, a) for a, b in pairs} == {p for a, b in edges.T.tolist() if a != b for p in ((a, b), (b, a))}


def test_means_of_neighbours_by_hand() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [9.0, 9.0]])
    edges = torch.tensor([[0, 1, 2], [2, 2, 0]])
    assert mean_of_neighbours(values, edges).tolist() == [[5, 6], [0, 0], [2, 3], [0, 0]]


def test_homophily_counts_known_nodes_only() -> None:
    alike, chance = homophily(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]), torch.tensor([0, 0, 1, -1]))
    assert alike == 0.5
    assert chance == pytest.approx(5 / 9)
