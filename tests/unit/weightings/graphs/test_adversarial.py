"""Weights learnt against the classifier: against a dense network a class, and in their limits."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from small_graph import arrays, task
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.fit import fit
from steelyard.core.rows import Evidence
from steelyard.numeric.graph import distinct
from steelyard.regimes.graphs import graphs
from steelyard.settings import resolve_method
from steelyard.weightings.graphs.adversarial import Adversarial, ClassNets

EDGES = distinct(arrays()["edge_index"], 102)  # one-way


def nets(hidden: int = 3, seed: int = 0) -> ClassNets:
    found = arrays()
    labelled = torch.arange(0, 102, 2)
    return ClassNets(found["x"], EDGES, labelled, found["y"][labelled], hidden=hidden, seed=seed)


def rows(weighting: Adversarial, losses: Tensor, index: Tensor | None = None) -> Evidence:
    index = torch.arange(len(losses)) if index is None else index
    return Evidence(target=weighting.nets.target[index], losses=losses, index=index)


def test_shares_are_those_of_a_dense_network_on_each_class_alone() -> None:
    found, made = arrays(), nets()
    labelled = torch.arange(0, 102, 2)
    whole = torch.zeros(102, 102)
    whole[EDGES[0], EDGES[1]] = 1.0
    shares = made()
    for label in range(3):
        own = (made.target == label).nonzero().flatten()
        nodes = labelled[own]
        matrix = whole[nodes][:, nodes].T + torch.eye(len(nodes))
        root = matrix.sum(1).rsqrt()
        matrix = root[:, None] * matrix * root
        hidden = torch.relu(matrix @ found["x"][nodes] @ made.first[label] + made.first_bias[label])
        scores = torch.sigmoid(matrix @ hidden @ made.last[label] + made.last_bias[label])
        torch.testing.assert_close(shares[own], scores / scores.sum())


def test_classes_count_alike_and_weights_have_mean_one() -> None:
    weighting = Adversarial(nets())
    given = weighting(rows(weighting, torch.zeros(51)))
    assert float(given.mean()) == pytest.approx(1, abs=1e-6)
    totals = torch.zeros(3).index_add_(0, weighting.nets.target, given)
    torch.testing.assert_close(totals, torch.full((3,), 51 / 3))


def test_a_step_is_adam_on_the_written_objective() -> None:
    weighting = Adversarial(nets(), gamma=0.7, lr=0.02, weight_decay=0.1)
    twin, losses = copy.deepcopy(weighting.nets), torch.rand(51, generator=torch.Generator().manual_seed(1))
    adam = torch.optim.Adam(twin.parameters(), lr=0.02, weight_decay=0.1)
    for _ in range(3):
        w = twin() / 3
        adam.zero_grad()
        (-((w * losses).sum() - 0.7 * (w * w.log()).sum())).backward()
        adam.step()
        weighting.observe(rows(weighting, losses))
    torch.testing.assert_close(weighting.row_weights, (51 * twin() / 3).detach())


def test_without_entropy_weight_goes_to_what_is_got_wrong() -> None:
    weighting = Adversarial(nets(), gamma=0.0, lr=0.1, weight_decay=0.0)
    losses = weighting.nets.values[:, 0].relu()  # something that a network of the features can find
    before = float((weighting.row_weights * losses).mean())
    for _ in range(100):
        weighting.observe(rows(weighting, losses))
    assert float((weighting.row_weights * losses).mean()) > 1.2 * before


def test_much_entropy_is_inverse_class_frequency() -> None:
    weighting = Adversarial(nets(), gamma=1e4, lr=0.05, weight_decay=0.0)
    for _ in range(300):
        weighting.observe(rows(weighting, torch.rand(51)))
    counts = weighting.nets.target.bincount()
    torch.testing.assert_close(weighting.row_weights, 51 / (3 * counts[weighting.nets.target].float()), rtol=0.05, atol=0)
    told = weighting.explain()
    assert told["effective_rows"] == pytest.approx(counts.tolist(), rel=0.05)
    assert told["largest_share"] == pytest.approx([1 / int(count) for count in counts], rel=0.05)


def test_some_of_the_rows_estimate_the_sum_over_all() -> None:
    one, other = (Adversarial(nets(), gamma=0.0, weight_decay=0.0) for _ in range(2))
    losses = torch.zeros(51)
    losses[:10] = 1.0
    one.observe(rows(one, losses))
    other.observe(rows(other, losses[:10], torch.arange(10)))  # the sum is larger, and Adam does not see sizes
    torch.testing.assert_close(one.row_weights, other.row_weights, rtol=1e-3, atol=1e-4)


def test_the_state_goes_round_and_training_repeats() -> None:
    losses = torch.rand(51, generator=torch.Generator().manual_seed(2))
    whole, first = Adversarial(nets()), Adversarial(nets())
    for _ in range(4):
        whole.observe(rows(whole, losses))
    for _ in range(2):
        first.observe(rows(first, losses))
    second = Adversarial(nets(seed=5))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in range(2):
        second.observe(rows(second, losses))
    assert torch.equal(whole.row_weights, second.row_weights)


def test_the_result_of_a_run_says_what_was_learnt() -> None:
    fitted = fit(task(), resolve_method("ra-gcn(gamma=10)"), graphs(epochs=5), device="cpu")
    told = fitted.explanations["objective.weighting"]
    assert len(told["effective_rows"]) == 3 and all(math.isfinite(value) for value in told["effective_rows"])


@pytest.mark.parametrize("wrong", [{"gamma": -1.0}, {"lr": 0.0}, {"weight_decay": math.nan}])
def test_values_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match=f"`{next(iter(wrong))}`"):
        Adversarial(nets(), **wrong)


def test_what_is_missing_is_said() -> None:
    weighting = Adversarial(nets())
    for evidence in (Evidence(target=torch.tensor([0])), Evidence(target=torch.tensor([0]), index=torch.tensor([0]))):
        with pytest.raises(ArgumentError, match="evidence"):
            weighting.observe(evidence)
    with pytest.raises(ArgumentError, match=r"evidence\.index"):
        weighting(Evidence(target=torch.tensor([0])))
    with pytest.raises(ArgumentError, match="`hidden`"):
        nets(hidden=0)
    with pytest.raises(ArgumentError, match="labelled"):
        ClassNets(torch.eye(2), torch.empty(2, 0, dtype=torch.int64), torch.empty(0, dtype=torch.int64), torch.empty(0))
