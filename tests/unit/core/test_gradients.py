"""The objective's gradient against finite differences, and the identities of the words."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Blobs
from torch import nn

from steelyard.core.descent import plain
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.core.transform import untouched
from steelyard.core.weighting import ClassTable


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 9))
def test_plain_fills_grad_with_the_objective_s_gradient(seed: int, rows: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    batch = Batch(
        torch.randn(rows, 4, generator=stream, dtype=torch.float64),
        torch.randint(0, 3, (rows,), generator=stream),
        torch.arange(rows),
        share=torch.rand(rows, generator=stream, dtype=torch.float64) + 0.1,
    )

    class Table(ClassTable):
        pass

    oracle = Oracle(model, Blobs().forward, Objective(weighting=Table(torch.tensor([1.0, 2.0, 5.0]))))
    evaluation = plain(oracle, untouched(oracle, batch))
    for parameter in model.parameters():
        direction = torch.randn(parameter.shape, generator=stream, dtype=torch.float64)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * 1e-6 * direction
                values.append(oracle(batch).loss.item())
                parameter -= sign * 1e-6 * direction
        slope = (values[0] - values[1]) / 2e-6
        torch.testing.assert_close((parameter.grad * direction).sum().item(), slope, rtol=1e-5, atol=1e-7)
    assert evaluation.loss.requires_grad
