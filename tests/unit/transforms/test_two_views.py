"""Two views of every input."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Rows
from steelyard.core.seeds import generator
from steelyard.core.task import Part
from steelyard.data import ResidentSource
from steelyard.transforms.two_views import TwoViews, corrupted


def oracle(seed: int = 0) -> Oracle:
    def forward(model: nn.Module, batch: Batch) -> Rows:
        return Rows(model(batch.inputs), batch.target, share=batch.share, extra=batch.extra)

    return Oracle(nn.Linear(4, 3), forward, Objective(), draws=generator(seed, "draws"))


def batch(rows: int = 6, **fields) -> Batch:
    return Batch(torch.arange(4.0 * rows).reshape(rows, 4), torch.arange(rows) % 3, torch.arange(rows) + 10, **fields)


def test_the_first_half_is_the_batch_and_counts_alone():
    source = batch()
    made = TwoViews()(oracle(), source)
    assert torch.equal(made.inputs[:6], source.inputs)
    assert torch.equal(made.target, source.target.repeat(2))
    assert torch.equal(made.index, source.index.repeat(2))
    assert made.owner is None
    assert made.share.tolist() == [1.0] * 6 + [0.0] * 6
    assert dict(made.extra) == {"views": 2}
    ignoring = TwoViews()(oracle(), batch(share=torch.tensor([1, 0, 1, 0.5, 1, 1])))
    assert ignoring.share.tolist() == [1, 0, 1, 0.5, 1, 1] + [0] * 6


def test_the_loss_of_labels_is_that_of_the_first_view():
    asked, source = oracle(), batch()
    torch.testing.assert_close(asked(TwoViews()(asked, source)).loss, asked(source).loss)


@given(rows=st.integers(1, 30), rate=st.floats(0, 1), seed=st.integers(0, 99))
def test_exchanged_cells_come_from_their_own_column(rows, rate, seed):
    """Cell values tell row and column, so each can be traced back."""
    inputs = {"numeric": batch(rows).inputs, "categorical": torch.arange(rows)[:, None] + 100}
    made = corrupted(inputs, rate, generator(seed, "cells"))
    assert torch.equal(made["numeric"] % 4, inputs["numeric"] % 4)
    assert bool(((made["numeric"] >= 0) & (made["numeric"] < 4 * rows)).all())
    assert made["categorical"].dtype == torch.int64
    assert bool(((made["categorical"] >= 100) & (made["categorical"] < 100 + rows)).all())
    if rate == 0:
        assert torch.equal(made["numeric"], inputs["numeric"])


def test_as_many_cells_are_exchanged_as_asked_for():
    inputs = torch.arange(400_000.0).reshape(100_000, 4)
    made = corrupted(inputs, 0.3, generator(0, "cells"))
    assert (made != inputs).float().mean().item() == pytest.approx(0.3, abs=0.005)


def test_the_row_is_read_again_with_draws_of_its_own():
    rows = ResidentSource(torch.arange(80.0).reshape(20, 4), torch.zeros(20).long())
    asked, source = oracle(), batch()
    asked.read = lambda raw: raw * 100
    made = TwoViews(rate=0.0, source=rows)(asked, source)
    assert torch.equal(made.inputs[6:], rows.inputs[source.index] * 100)
    part = Part(rows, torch.arange(19, -1, -1))
    made = TwoViews(rate=0.0, source=part)(asked, source)
    assert torch.equal(made.inputs[6:], rows.inputs[19 - source.index] * 100)


def test_an_augmentation_comes_before_the_exchange():
    def marked(inputs, stream):
        assert isinstance(stream, torch.Generator)
        return inputs + 1000

    made = TwoViews(rate=1.0, augment=marked)(oracle(), batch())
    assert bool((made.inputs[6:] >= 1000).all())
    assert bool((made.inputs[:6] < 1000).all())
    plain = TwoViews(rate=0.0)(oracle(), batch())
    assert torch.equal(plain.inputs[6:], plain.inputs[:6])


def test_a_seed_makes_the_same_view_and_another_seed_another():
    one, same, other = (TwoViews()(oracle(seed), batch()).inputs for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("fields", "says"), [({"owner": torch.arange(6)}, "share inputs"), ({"extra": {"graph": 1}}, "'graph'")]
)
def test_rows_that_have_no_view_of_their_own_are_refused(fields, says):
    with pytest.raises(CombinationError, match=says) as raised:
        TwoViews()(oracle(), batch(**fields))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_out_of_range_is_named(rate):
    with pytest.raises(ArgumentError, match="rate"):
        TwoViews(rate)
