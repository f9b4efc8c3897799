"""Graphs as edge lists `[2, E]`: edges go from `edge_index[0]` to `edge_index[1]`; undirected ones are there both ways."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


def undirected(edge_index: Tensor, nodes: int) -> Tensor:
    """Every edge both ways and once, without loops, in order `[2, E]`.

    Example:
        >>> undirected(torch.tensor([[0, 1, 2, 0], [1, 0, 2, 1]]), 3)
        tensor([[0, 1],
                [1, 0]])
    """
    both = torch.cat([edge_index, edge_index.flip(0)], 1)
    return distinct(both, nodes)


def distinct(edge_index: Tensor, nodes: int) -> Tensor:
    """Every edge once, without loops, ordered by where it comes from and then by where it goes `[2, E]`."""
    start, end = edge_index[:, edge_index[0] != edge_index[1]]
    keys = torch.unique(start * nodes + end)
    return torch.stack([keys // nodes, keys % nodes])


def in_degree(edge_index: Tensor, nodes: int) -> Tensor:
    """Edges into each node `[n]`, int64.

    Example:
        >>> in_degree(torch.tensor([[0, 2], [1, 1]]), 3)
        tensor([0, 2, 0])
    """
    return torch.bincount(edge_index[1], minlength=nodes)


def gcn_edges(edge_index: Tensor, degree: Tensor, scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The matrix `A_hat = D^-1/2 (A + I) D^-1/2` as edges and weights; D counts the edges into a node and its loop.

    Args:
        edge_index: `[2, E]` without loops.
        degree: edges into each node in the whole graph `[n]`, whatever part of it the edges are.
        scale: each weight is multiplied by this `[E]`; None for 1. A sample of k of a node's d edges has d / k.

    Returns:
        Edges with a loop at every node `[2, E + n]`, and their weights.

    Reference:
        Kipf, Welling: Semi-supervised classification with graph convolutional networks, ICLR 2017.

    Example:
        >>> edges, weights = gcn_edges(torch.tensor([[0, 1], [1, 0]]), torch.tensor([1, 1, 0]))
        >>> weights
        tensor([0.5000, 0.5000, 0.5000, 0.5000, 1.0000])
    """
    root = (degree + 1).to(torch.get_default_dtype()).rsqrt()
    weights = root[edge_index[0]] * root[edge_index[1]]
    weights = weights if scale is None else weights * scale
    loops = torch.arange(len(degree), device=edge_index.device).expand(2, -1)
    return torch.cat([edge_index, loops], 1), torch.cat([weights, root * root])


def adjacency(edge_index: Tensor, weights: Tensor, nodes: int) -> Tensor:
    """The sparse matrix (CSR) whose product with values of the nodes `[n, d]` sums what comes into each node.

    Args:
        edge_index: `[2, E]`.
        weights: `[E]`.
        nodes: n.
    """
    matrix = torch.sparse_coo_tensor(edge_index.flip(0), weights, (nodes, nodes), check_invariants=False)
    return as_csr(matrix)


def as_csr(matrix: Tensor) -> Tensor:
    """A matrix, dense or sparse, in compressed rows; torch says at the first one that they are new, which we know."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Sparse CSR tensor support.*", UserWarning)
        compressed: Tensor = matrix.to_sparse_csr()
    return compressed


def mean_of_neighbours(values: Tensor, edge_index: Tensor) -> Tensor:
    """Mean of `values` `[n, d]` over the nodes that have an edge into each node; zero where none has.

    Example:
        >>> mean_of_neighbours(torch.tensor([[2.0], [4.0], [0.0]]), torch.tensor([[0, 1], [2, 2]]))
        tensor([[0.],
                [0.],
                [3.]])
    """
    total = torch.zeros_like(values).index_add_(0, edge_index[1], values[edge_index[0]])
    return total / in_degree(edge_index, len(values)).clamp_min(1)[:, None]


def pagerank(
    edge_index: Tensor, start: Tensor, *, restart: float = 0.15, rounds: int = 200, transposed: bool = False
) -> Tensor:
    """`restart (I - (1 - restart) A_hat)^-1 start`, by iteration: no n x n matrix is ever made.

    Args:
        edge_index: `[2, E]` without loops.
        start: `[n, K]`.
        restart: chance of going back to the start at each step, in (0, 1].
        rounds: of the iteration, whose error shrinks by `1 - restart` a round.
        transposed: with the transposed matrix, which is another one where edges have a direction.

    Reference:
        Klicpera, Bojchevski, Günnemann: Predict then propagate, ICLR 2019 (with this A_hat).

    Example:
        >>> pagerank(torch.empty(2, 0, dtype=torch.int64), torch.tensor([[1.0], [0.0]]))  # nobody to go to
        tensor([[1.],
                [0.]])
    """
    nodes = len(start)
    edges, weights = gcn_edges(edge_index, in_degree(edge_index, nodes))
    matrix = adjacency(edges.flip(0) if transposed else edges, weights.to(start.dtype), nodes)
    found = start
    for _ in range(rounds):
        found = restart * start + (1 - restart) * (matrix @ found)
    return found


def homophily(edge_index: Tensor, target: Tensor) -> tuple[float, float]:
    """Share of edges between nodes of one class, and what it would be if classes were dealt out at random.

    Args:
        edge_index: `[2, E]`.
        target: class of each node `[n]`; below 0 where unknown: edges of such nodes do not count.

    Returns:
        Both in [0, 1]; NaN without an edge between nodes of known class.

    Example:
        >>> homophily(torch.tensor([[0, 1], [1, 2]]), torch.tensor([0, 0, 1]))[0]
        0.5
    """
    known = target[target >= 0]
    ends = target[edge_index[:, (target[edge_index] >= 0).all(0)]]
    shares = torch.bincount(known).double() / max(len(known), 1)
    alike = (ends[0] == ends[1]).double().mean()
    return float(alike), float(shares.square().sum())
