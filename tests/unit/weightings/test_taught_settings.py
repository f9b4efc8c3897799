"""What the meta-learned weightings refuse."""

from __future__ import annotations

import pytest
import torch
from meta_cases import pool_of

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Evidence
from steelyard.weightings import LearnToReweight, Lookahead, LossCurveNet, MetaClassWeights, MetaWeightNet


def test_bad_settings_are_one_sentence() -> None:
    meta = pool_of(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))
    for settings, name in (
        ({"every": 0}, "every"),
        ({"scope": "body"}, "scope"),
        ({"order": "later"}, "order"),
        ({"estimator": "magic"}, "estimator"),
        ({"after": 1.5}, "after"),
        ({"until": -0.1}, "until"),
    ):
        with pytest.raises(ArgumentError, match=name):
            Lookahead(**settings)
    for settings, name in (({"normalise": "rows"}, "normalise"), ({"lr": 0.0}, "lr"), ({"weight_decay": -1.0}, "weight_decay")):
        with pytest.raises(ArgumentError, match=name):
            MetaWeightNet(meta, **settings)
    with pytest.raises(ArgumentError, match="online"):
        LearnToReweight(meta, lookahead=Lookahead(order="online"))
    with pytest.raises(ArgumentError, match="detach"):
        MetaWeightNet(meta, detach=False, lookahead=Lookahead(order="online"))
    with pytest.raises(ArgumentError, match="hidden"):
        MetaWeightNet(meta, hidden=0)
    with pytest.raises(ArgumentError, match="losses"):
        MetaWeightNet(meta)(Evidence(target=torch.tensor([0])))
    with pytest.raises(ArgumentError, match="index"):
        LossCurveNet(meta, torch.zeros(2, 3), 2)(Evidence(target=torch.tensor([0])))
    with pytest.raises(ArgumentError, match="curves"):
        LossCurveNet(meta, torch.full((2, 3), torch.nan), 2)
    with pytest.raises(ArgumentError, match="num_classes"):
        MetaClassWeights(meta, 0)
