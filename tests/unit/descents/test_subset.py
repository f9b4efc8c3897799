"""Rows of a batch on their own: inputs, owners, and the statistics of the whole."""

import pytest
import torch
from descent_cases import mixed, oracle, plain_net, rows, score
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from steelyard.core.rows import Rows
from steelyard.descents._subset import BatchStatistics, Subset, same_draws


@given(st.integers(0, 500), st.booleans(), st.integers(1, 23))
def test_rows_of_a_subset_get_the_scores_that_they_have_in_the_batch(seed, is_mixed, most):
    batch = mixed(rows(24, seed), seed) if is_mixed else rows(24, seed)
    model = plain_net(seed)
    whole = score(model, batch)
    chosen = torch.randperm(len(batch.target))[:most].sort().values
    part = Subset.of(batch, whole, chosen)
    found = score(model, part.batch)
    torch.testing.assert_close(found.logits, whole.logits[chosen])
    assert torch.equal(found.target, whole.target[chosen])
    assert torch.equal(part.batch.index, batch.index[chosen])
    assert part.share == len(part.batch.inputs) / 24
    if is_mixed:
        assert torch.equal(found.share, batch.share[chosen])
        assert len(part.batch.inputs) == len(batch.owner[chosen].unique())


def test_scoring_again_changes_nothing_where_nothing_moved():
    asked, batch = oracle(plain_net()), rows()
    first = asked(batch)
    part = Subset.of(batch, first.rows, torch.tensor([1, 4]))
    again = part.again(asked, first, {})
    torch.testing.assert_close(again.losses, first.losses)
    (gradient,) = torch.autograd.grad(again.loss, again.rows.logits)
    assert gradient.abs().sum(1).bool().all()
    (weight,) = torch.autograd.grad(part.again(asked, first, {}).restricted(torch.arange(24) == 2), asked.model[0].weight)
    assert not weight.any()  # row 2 is not of the part: it has no graph


@pytest.mark.parametrize(
    "inputs",
    [torch.zeros(7, 5), {"a": torch.zeros(24, 2), "b": torch.zeros(3)}, {}, [torch.zeros(24, 5)], {"a": torch.tensor(1.0)}],
    ids=["another length", "two lengths", "nothing", "a list", "a number"],
)
def test_what_is_not_one_entry_a_row_is_no_subset(inputs):
    batch = rows().replace(inputs=inputs)
    assert Subset.of(batch, Rows(torch.zeros(24, 3), batch.target), torch.tensor([0])) is None


def statistics_of(model: nn.Module, inputs: torch.Tensor):
    statistics = BatchStatistics(model)
    with statistics.watching():
        model(inputs)
    return statistics.taken()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_statistics_are_those_of_the_batch(dtype):
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.BatchNorm1d(48, momentum=0.01)).to(dtype)
    for _ in range(3):  # not at the start of training
        model(torch.randn(6, 3, 4, 4, dtype=dtype))
    inputs = 3 + 2 * torch.randn(6, 3, 4, 4, dtype=dtype)
    found = statistics_of(model, inputs)
    tolerance = {"rtol": 1e-3, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(found["0.running_mean"], inputs.mean((0, 2, 3)), **tolerance)
    torch.testing.assert_close(found["0.running_var"], inputs.var((0, 2, 3), correction=0), **tolerance)
    assert set(found) == {"0.running_mean", "0.running_var", "2.running_mean", "2.running_var"}
    values = nn.functional.batch_norm(inputs, None, None, model[0].weight, model[0].bias, training=True).flatten(1)
    torch.testing.assert_close(found["2.running_var"], values.var(0, correction=0), **tolerance)


def test_one_layer_that_is_the_model():
    assert set(statistics_of(nn.BatchNorm1d(2), torch.randn(4, 2))) == {"running_mean", "running_var"}


def test_without_layers_there_is_nothing_to_know():
    assert statistics_of(nn.Linear(2, 2), torch.randn(4, 2)) == {}
    assert statistics_of(nn.BatchNorm1d(2).eval(), torch.randn(4, 2)) == {}


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(2, track_running_stats=False), nn.BatchNorm1d(2, momentum=None)])
def test_statistics_that_are_not_known(layer):
    assert statistics_of(layer, torch.randn(4, 2)) is None


def test_a_layer_used_twice_or_never_has_no_statistics_of_the_batch():
    layer = nn.BatchNorm1d(2)
    assert statistics_of(nn.Sequential(layer, layer), torch.randn(4, 2)) is None
    statistics = BatchStatistics(layer)
    with statistics.watching():
        pass
    assert statistics.taken() is None


def test_passes_that_draw_the_same():
    draws: list[torch.Tensor] = []
    with same_draws(torch.device("cpu"), draws):
        one = torch.rand(3)
    torch.rand(5)
    with same_draws(torch.device("cpu"), draws):
        assert torch.equal(torch.rand(3), one)
