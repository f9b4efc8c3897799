"""How tables of constants are kept."""

import torch

from steelyard.numeric.precision import as_table


def test_tables_are_double_where_the_device_can(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert as_table(torch.ones(2)).dtype == torch.float64
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert as_table(torch.ones(2)).dtype == torch.float32
