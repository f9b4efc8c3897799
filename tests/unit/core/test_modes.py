from __future__ import annotations

import pytest
from torch import nn

from steelyard.core.modes import evaluating


def test_flags_come_back_after_an_exception() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(), nn.Linear(2, 2))
    model.train()
    model[0].eval()
    flags = [module.training for module in model.modules()]

    def fail() -> None:
        with evaluating(model):
            assert not any(module.training for module in model.modules())
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        fail()
    assert [module.training for module in model.modules()] == flags
