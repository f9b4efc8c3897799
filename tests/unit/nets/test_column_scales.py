"""The factor of each column: where it starts, how fast it moves, members, and what it is for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import generator
from steelyard.core.stacked import Members
from steelyard.nets import TableNet
from steelyard.nets.column_scales import ColumnScales


def test_nothing_changes_at_first() -> None:
    values = torch.randn(4, 6, generator=generator(0, "values"))
    torch.testing.assert_close(ColumnScales(2, width=3, speed=20.0)(values), values)


def test_one_factor_for_all_numbers_of_a_column() -> None:
    scales = ColumnScales(2, width=3, speed=4.0)
    with torch.no_grad():
        scales.size.copy_(torch.tensor([0.5, -1.0]))
    expected = torch.tensor([2.0, 2.0, 2.0, -4.0, -4.0, -4.0])
    assert torch.equal(scales(torch.ones(5, 6)), expected.expand(5, 6))


@pytest.mark.parametrize("speed", [1.0, 6.0, 20.0])
def test_a_step_of_adam_moves_the_factor_speed_times_the_learning_rate(speed: float) -> None:
    scales = ColumnScales(1, speed=speed).double()
    optimizer = torch.optim.Adam(scales.parameters(), lr=1e-3)
    scales(torch.ones(1, 1, dtype=torch.float64)).sum().backward()
    optimizer.step()
    assert scales(torch.ones(1, 1, dtype=torch.float64)).item() == pytest.approx(1 - speed * 1e-3, rel=1e-6)


@pytest.mark.parametrize("embedding", ["none", "periodic", "piecewise"])
def test_members_at_once_are_members_one_by_one(embedding: str) -> None:
    models: list[nn.Module] = [TableNet(2, 5, (3,), embedding=embedding, choosing=20.0).eval() for _ in range(3)]
    for number, model in enumerate(models):
        with torch.no_grad():
            model.get_submodule("columns.1").size.mul_(1 + number)
    inputs = {"numeric": torch.randn(7, 5), "categorical": torch.randint(0, 4, (7, 1))}
    torch.testing.assert_close(Members(models).eval().each(inputs), torch.stack([model(inputs) for model in models]))


def test_the_columns_that_matter_are_heard_louder() -> None:
    stream = generator(1, "columns")
    x = torch.randn(6000, 60, generator=stream)
    y = (x[:, 0] + x[:, 1] > 0).long()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TableNet(2, 60, embedding="none", dropout=0.0, choosing=20.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for rows in torch.arange(len(x)).split(100):
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    factors = 20.0 * model.get_parameter("columns.1.size").detach().abs()
    assert factors[:2].min() > 1.5 * factors[2:].max()


def test_settings_out_of_range() -> None:
    for name, settings in (("columns", {"columns": 0}), ("width", {"columns": 1, "width": 0})):
        with pytest.raises(ArgumentError, match=name):
            ColumnScales(**settings)
    for speed in (0.0, -1.0, float("inf")):
        with pytest.raises(ArgumentError, match="speed"):
            ColumnScales(1, speed=speed)
