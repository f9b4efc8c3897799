"""Row weights as shares, whoever draws the rows."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from steelyard.core.fit import fit
from steelyard.core.members import fit_members
from steelyard.core.regime import Regime
from steelyard.core.rows import Batch
from steelyard.core.task import TaskView
from steelyard.data.encoder import TableEncoder
from steelyard.estimator.splitting import NO_ROWS, Split
from steelyard.estimator.table import ROW, Table, WeightedTable
from steelyard.settings import resolve_method

REGIME = Regime(epochs=4, batch_size=100, optimizer="adamw", lr=0.01)


def table(rows, weights=None, encoder=None):
    """A table of some rows of a fixed one; full batches, no dropout."""
    draw = torch.Generator().manual_seed(0)
    whole = pd.DataFrame(torch.randn(12, 3, generator=draw).numpy(), columns=list("abc"))
    target = torch.arange(12) % 3 % 2
    rows = torch.as_tensor(rows)
    encoder = encoder or TableEncoder.fit(whole)
    inputs = encoder.encode(whole.iloc[rows.numpy()])
    split = Split(torch.arange(len(rows)), NO_ROWS)
    weights = None if weights is None else torch.as_tensor(weights, dtype=torch.float64)
    return Table(encoder, inputs, target[rows], ("no", "yes"), split, weights, "mlp", {"dropout": 0.0, "hidden": (8,)})


@pytest.mark.parametrize("method", ["la", "cb-focal", "sam"])
def test_a_row_of_weight_two_is_learnt_from_as_if_it_were_there_twice(method):
    weights = [1, 2, 3, 1, 1, 2, 1, 1, 4, 1, 1, 1]
    again = torch.arange(12).repeat_interleave(torch.tensor(weights))
    one, two = table(range(12), weights).task(), table(again).task()
    assert torch.equal(one.counts, two.counts)
    models = [fit(task, resolve_method(method), REGIME, seed=3).model for task in (one, two)]
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(first, second, atol=2e-4)
    unweighted = fit(table(range(12)).task(), resolve_method(method), REGIME, seed=3).model
    assert any(
        not torch.allclose(a, b, atol=2e-3) for a, b in zip(models[0].parameters(), unweighted.parameters(), strict=True)
    )


def test_weights_follow_rows_into_reserved_parts():
    weights = torch.arange(1.0, 13.0)
    task = table(range(12), weights).task()
    rest, reserved = TaskView(task, seed=1).reserve(2)
    model = task.model()
    for index, inputs in reserved.stream([torch.arange(len(reserved))]):
        rows = rest.forward(model, Batch(inputs, reserved.target[index], index))
        assert torch.allclose(rows.share, (weights[reserved.rows] / weights.mean()).float())
    assert isinstance(rest, WeightedTable)
    kept = torch.ones(12, dtype=torch.bool)
    kept[reserved.rows] = False
    expected = [int(weights[kept & (torch.arange(12) % 3 % 2 == c)].sum()) for c in (0, 1)]
    assert rest.counts.tolist() == expected


def test_mixed_rows_count_by_their_own_weights():
    weights = torch.arange(1.0, 13.0)
    task = table(range(12), weights).task()
    inputs = {"numeric": torch.zeros(2, 3), ROW: torch.tensor([4, 9])}
    batch = Batch(
        inputs,
        torch.tensor([0, 1, 1, 0]),
        torch.tensor([4, 9, 9, 4]),
        owner=torch.tensor([0, 1, 0, 1]),
        share=torch.tensor([0.7, 0.6, 0.3, 0.4]),
    )
    share = task.forward(task.model(), batch).share
    assert torch.allclose(share, torch.tensor([5 * 0.7, 10 * 0.6, 10 * 0.3, 5 * 0.4]) / weights.mean())


def test_counts_of_fractional_weights_are_those_of_mean_one_and_no_class_vanishes():
    weights = torch.full((12,), 0.25)
    assert table(range(12), weights).task().counts.tolist() == table(range(12)).task().counts.tolist()
    weights[1::3] = 1e-6  # all rows of class 1
    assert table(range(12), weights).task().counts.tolist()[1] == 1


@pytest.mark.parametrize("folds", [None, torch.arange(12) % 2])
def test_members_with_weights_are_trained_at_once_and_are_each_what_they_are_alone(folds):
    weights = [1, 2, 3, 1, 1, 2, 1, 1, 4, 1, 1, 1]
    task = table(range(12), weights).task()
    cohort = fit_members(task, resolve_method("ce"), REGIME, seeds=[3, 4], folds=folds)
    assert cohort.vectorised, cohort.why
    if folds is not None:  # a member's own rows, with their weights, are all that it has learnt from
        assert cohort.out_of_fold().shape == (12, 2)
        own = folds != 0
        task = table(torch.arange(12)[own], torch.tensor(weights)[own], task.encoder).task()
    alone = fit(task, resolve_method("ce"), REGIME, seed=3).model
    for first, second in zip(cohort.model.member(0).parameters(), alone.parameters(), strict=True):
        assert torch.allclose(first, second, atol=2e-4)
