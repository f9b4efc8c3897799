from __future__ import annotations

import pytest
import torch
from meta_cases import pool_of
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Evidence
from steelyard.weightings.meta_weight_net import MetaWeightNet, learned_function, losses_of

META = pool_of(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))


def evidence(losses: Tensor) -> Evidence:
    return Evidence(target=torch.zeros(len(losses), dtype=torch.int64), losses=losses)


def test_a_row_weighs_what_the_network_says_of_its_loss() -> None:
    torch.manual_seed(0)
    weighting, losses = MetaWeightNet(META, hidden=7), torch.tensor([0.0, 0.5, 3.0, 0.5])
    raw = weighting.raw(evidence(losses)).detach()
    by_hand = torch.sigmoid(
        torch.relu(losses[:, None] * weighting.net.trunk.weight[:, 0] + weighting.net.trunk.bias)
        @ weighting.net.heads.weight[0]
        + weighting.net.heads.bias[0]
    )
    torch.testing.assert_close(raw, by_hand.detach())
    assert raw[1] == raw[3] and ((raw > 0) & (raw < 1)).all()
    torch.testing.assert_close(weighting(evidence(losses)).detach(), raw / raw.mean())
    plain = MetaWeightNet(META, normalise="none")
    assert plain(evidence(losses)).detach().equal(plain.raw(evidence(losses)).detach())


def test_what_it_has_learnt_is_told_up_to_the_highest_loss_met() -> None:
    torch.manual_seed(0)
    weighting = MetaWeightNet(META)
    weighting(evidence(torch.tensor([0.5, 4.0])))
    weighting(evidence(torch.tensor([1.0])))
    told = weighting.explain()
    assert told["loss"][0] == 0 and told["loss"][-1] == 4.0
    (line,) = told["weight"].values()
    expected = weighting.raw(evidence(torch.tensor(told["loss"]))).tolist()
    assert line == pytest.approx(expected, abs=1e-6)
    assert learned_function(weighting.net, torch.zeros(()), ["x"])["loss"][-1] > 0


def test_a_very_large_loss_is_no_trouble() -> None:
    weighting = MetaWeightNet(META)
    assert weighting(evidence(torch.tensor([1e4, 0.0, 1e30]))).isfinite().all()


def test_losses_are_asked_for() -> None:
    with pytest.raises(ArgumentError, match="losses"):
        losses_of(Evidence(target=torch.tensor([0])))
