"""ReNode against its dense definition, and steps in which nothing weighs anything."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_graph import arrays

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Evidence
from steelyard.core.weighting import Weighting
from steelyard.numeric.graph import adjacency, distinct, gcn_edges, in_degree
from steelyard.weightings.graphs.never_idle import NeverIdle
from steelyard.weightings.graphs.renode import ReNode, topological_conflict

TEN = [1.5, 1.470, 1.383, 1.25, 1.087, 0.913, 0.75, 0.617, 0.530, 0.5]


def test_ten_ranks_have_the_published_weights() -> None:
    weights = ReNode(torch.arange(10.0)).row_weights
    assert weights.tolist() == pytest.approx(TEN, abs=6e-4)
    assert float(weights.mean()) == pytest.approx(1.0)
    order = torch.tensor([3, 0, 2, 1])
    assert torch.equal(ReNode(torch.arange(4.0)[order]).row_weights, ReNode(torch.arange(4.0)).row_weights[order])


def test_one_row_and_rows_that_are_alike() -> None:
    assert ReNode(torch.tensor([7.0])).row_weights.tolist() == [1.0]
    assert ReNode(torch.zeros(5)).row_weights.tolist() == pytest.approx([1.0] * 5)
    assert ReNode(torch.arange(5.0), scale=0, base=2).row_weights.tolist() == [2.0] * 5


def test_weights_are_looked_up_by_row() -> None:
    weighting = ReNode(torch.arange(3.0))
    assert weighting(Evidence(target=torch.zeros(2), index=torch.tensor([2, 0]))).tolist() == [0.5, 1.5]
    with pytest.raises(ArgumentError, match="index"):
        weighting(Evidence(target=torch.zeros(2)))
    with pytest.raises(ArgumentError, match="base"):
        ReNode(torch.arange(3.0), base=-1)


@given(st.integers(0, 20), st.booleans())
def test_conflict_is_that_of_the_dense_inverse(seed: int, directed: bool) -> None:
    found = arrays(seed=seed, sizes=(9, 6, 4))
    edges = found["edge_index"] if directed else torch.cat([found["edge_index"], found["edge_index"].flip(0)], 1)
    edges, y = distinct(edges, 19), found["y"]
    labelled = torch.cat([(y == c).nonzero().flatten()[:3] for c in range(3)])
    whole, weights = gcn_edges(edges, in_degree(edges, 19))
    matrix = adjacency(whole, weights.double(), 19).to_dense()
    pi = 0.15 * torch.linalg.inv(torch.eye(19, dtype=torch.float64) - 0.85 * matrix)
    usual = torch.stack([pi[labelled[y[labelled] == c]].mean(0) for c in range(3)])
    wanted = [sum(float(pi[v] @ usual[c]) for c in range(3) if c != int(y[v])) for v in labelled.tolist()]
    got = topological_conflict(edges, 19, labelled, y[labelled], 3)
    assert got.tolist() == pytest.approx(wanted, abs=1e-6)


def test_a_restart_out_of_range_is_named() -> None:
    with pytest.raises(ArgumentError, match="restart"):
        topological_conflict(torch.empty(2, 0, dtype=torch.int64), 2, torch.tensor([0]), torch.tensor([0]), 2, restart=0)


@pytest.mark.parametrize(("name", "place"), [("edge_index", 0), ("labelled", 1), ("target", 2)])
def test_nodes_and_classes_that_do_not_exist_are_named(name: str, place: int) -> None:
    given = [torch.tensor([[0, 1], [1, 0]]), torch.tensor([0, 1]), torch.tensor([0, 1])]
    given[place] = given[place] + 7
    with pytest.raises(ArgumentError, match=f"`{name}`"):
        topological_conflict(given[0], 2, given[1], given[2], 2)


class Given(Weighting):
    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, evidence: Evidence) -> torch.Tensor:
        return self.weights


@pytest.mark.parametrize("uniform", [True, False])
def test_all_zeros_become_ones_where_asked_for_and_are_counted(uniform: bool) -> None:
    evidence = Evidence(target=torch.zeros(2))
    idle, busy = NeverIdle(Given(torch.zeros(2)), uniform=uniform), NeverIdle(Given(torch.tensor([0.0, 2.0])), uniform=uniform)
    assert idle(evidence).tolist() == ([1, 1] if uniform else [0, 0])
    assert busy(evidence).tolist() == [0, 2]
    for part in (idle, busy):
        part.observe(evidence)
    assert idle.explain() == {"steps": 1, "steps_without_weight": 1}
    assert busy.explain() == {"steps": 1, "steps_without_weight": 0}
    assert math.isfinite(float(busy(evidence).sum()))
