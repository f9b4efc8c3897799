from __future__ import annotations

import pytest
import torch
from meta_cases import forward, pool_of, rows
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Clock, Evidence
from steelyard.weightings import Lookahead, LossCurveNet, LossCurves
from steelyard.weightings.loss_curve_net import centred


def test_curves_are_recorded_centred_and_filled() -> None:
    record = LossCurves(4, 3)
    for epoch in range(3):
        clock = Clock(epoch=epoch, epochs=3)
        drawn = torch.tensor([2, 0]) if epoch else torch.tensor([1, 0])
        record.observe(Evidence(target=torch.zeros(2).long(), losses=drawn + 10.0 * epoch, index=drawn, clock=clock))
    assert record.curves[0].tolist() == [0.0, 10.0, 20.0]
    assert record.curves[1, 0] == 1 and record.curves[1, 1:].isnan().all()
    target = torch.tensor([0, 0, 0, 1])
    away = centred(record.curves, target)
    assert away.isfinite().all()
    torch.testing.assert_close(torch.stack([away[target == c].mean(0) for c in range(2)]), torch.zeros(2, 3))
    assert away[3].tolist() == [0.0, 0.0, 0.0]  # never drawn
    torch.testing.assert_close(centred(record.curves, target, 1), away[:, 1:])
    with pytest.raises(ArgumentError, match="burn_in"):
        centred(record.curves, target, 3)


def test_a_curve_net_starts_as_plain_training_and_freezes() -> None:
    torch.manual_seed(0)
    meta = pool_of(*rows((5,), 6, 2))
    net = LossCurveNet(meta, torch.randn(9, 4), 3, normalise="none", lookahead=Lookahead(until=0.4))
    inputs, target = rows((5,), 9, 1)
    evidence = Evidence(target=target, index=torch.arange(9))
    torch.testing.assert_close(net(evidence).detach(), torch.full((9,), 1.0090130574))
    model = nn.Linear(5, 3).double()
    oracle = Oracle(model, forward, Objective(weighting=net))
    oracle.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = Batch(inputs, target, torch.arange(9))
    oracle.clock = Clock(epoch=3, epochs=10)
    net.prepare(oracle, batch)
    learnt = net(evidence).detach()
    assert not torch.equal(learnt, torch.full((9,), 1.0090130574))
    net.meta = None  # nothing of it is asked for any more
    oracle.clock = Clock(epoch=4, epochs=10)
    net.prepare(oracle, batch)
    assert torch.equal(net(evidence).detach(), learnt)


def test_a_net_in_double_precision_reads_its_curves() -> None:
    meta = pool_of(*rows((5,), 6, 2))
    curves, evidence = torch.randn(9, 4), Evidence(target=torch.tensor([0, 2]), index=torch.tensor([3, 8]))
    torch.manual_seed(0)
    single = LossCurveNet(meta, curves, 3, normalise="none")
    torch.set_default_dtype(torch.float64)
    try:
        double = LossCurveNet(meta, curves, 3, normalise="none")
    finally:
        torch.set_default_dtype(torch.float32)
    double.load_state_dict(single.state_dict())
    assert double(evidence).dtype == torch.float64
    torch.testing.assert_close(double(evidence).float(), single(evidence))
