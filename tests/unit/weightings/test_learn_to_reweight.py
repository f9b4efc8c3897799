from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from meta_cases import Logistic, forward, pool_of, rows
from torch import nn

from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.weightings import LearnToReweight, Lookahead, MetaWeightNet


def test_learning_to_reweight_agrees_with_gradients_row_by_row() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()
    model.eval()
    (inputs, target), meta = rows((5,), 9, 1), rows((5,), 6, 2)
    params = list(model.parameters())
    towards = torch.autograd.grad(F.cross_entropy(model(meta[0]), meta[1]), params)
    agreement = []
    for i in range(9):
        mine = torch.autograd.grad(F.cross_entropy(model(inputs[i : i + 1]), target[i : i + 1]), params)
        agreement.append(sum((a * b).sum() for a, b in zip(mine, towards, strict=True)))
    expected = torch.stack(agreement).clamp_min(0)
    weighting = LearnToReweight(pool_of(*meta))
    oracle = Oracle(model, forward, Objective(weighting=weighting))
    batch = Batch(inputs, target, torch.arange(9))
    weighting.prepare(oracle, batch)
    torch.testing.assert_close(oracle(batch).weights.double(), 9 * expected / expected.sum(), rtol=1e-5, atol=1e-6)
    other = Batch(inputs, target.clone(), torch.arange(9))
    assert torch.equal(oracle(other).weights, torch.ones(9))


def test_learning_to_reweight_in_its_limits() -> None:
    meta = pool_of(torch.ones(1, 2).double(), torch.tensor([0]))
    model = nn.Linear(2, 2).double()
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
    weighting = LearnToReweight(meta)
    oracle = Oracle(model, forward, Objective(weighting=weighting))
    for labels, expected in (([0, 0, 0], [1.0, 1.0, 1.0]), ([1, 1, 1], [0.0, 0.0, 0.0]), ([0, 1, 0], [1.5, 0.0, 1.5])):
        batch = Batch(torch.ones(3, 2).double(), torch.tensor(labels), torch.arange(3))
        weighting.prepare(oracle, batch)
        evaluation = oracle(batch)
        assert evaluation.weights.tolist() == pytest.approx(expected)
        assert bool(evaluation.loss.isfinite())


def test_the_worked_example_of_learning_to_reweight() -> None:
    weighting = LearnToReweight(pool_of(torch.tensor([1.0]).double(), torch.tensor([1])))
    oracle = Oracle(Logistic(), forward, Objective(weighting=weighting))
    batch = Batch(torch.tensor([1.0, 1.0, 2.0]).double(), torch.tensor([1, 0, 1]), torch.arange(3))
    weighting.prepare(oracle, batch)
    assert oracle(batch).weights.tolist() == pytest.approx([1.0, 0.0, 2.0])


def test_flipped_rows_weigh_less() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        target = torch.randint(0, 2, (200,))
        inputs = torch.randn(200, 2) + 2 * (2 * target[:, None] - 1)
        given = torch.where(torch.rand(200) < 0.3, 1 - target, target)
        weighting = LearnToReweight(pool_of(inputs[:20], target[:20]))
        oracle = Oracle(nn.Linear(2, 2), forward, Objective(weighting=weighting))
        batch = Batch(inputs[20:], given[20:], torch.arange(180))
        weighting.prepare(oracle, batch)
        weights = oracle(batch).weights
        flipped = (given != target)[20:]
        assert weights[flipped].mean() < 0.5 * weights[~flipped].mean()


@pytest.mark.parametrize(
    "build", [MetaWeightNet, LearnToReweight, lambda meta: MetaWeightNet(meta, lookahead=Lookahead(order="online"))]
)
def test_a_batch_whose_rows_are_all_ignored_teaches_nothing(build: Any) -> None:
    torch.manual_seed(0)
    weighting, model = build(pool_of(*rows((5,), 6, 2))), nn.Linear(5, 3).double()
    oracle = Oracle(model, lambda m, b: replace(forward(m, b), share=b.share), Objective(weighting=weighting))
    oracle.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, target = rows((5,), 9, 1)
    batch, before = Batch(inputs, target, torch.arange(9), share=torch.zeros(9)), model.weight.detach().clone()
    weighting.prepare(oracle, batch)
    oracle(batch).loss.backward()
    oracle.optimizer.step()
    if isinstance(weighting, MetaWeightNet):
        weighting.follow(oracle, batch)
    assert torch.equal(model.weight, before)
    assert all(value.isfinite().all() for value in weighting.parameters())
