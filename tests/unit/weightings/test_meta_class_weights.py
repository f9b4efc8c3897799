from __future__ import annotations

import torch
from meta_cases import pool_of

from steelyard.core.rows import Evidence
from steelyard.weightings.meta_class_weights import MetaClassWeights

META = pool_of(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))


def test_it_starts_as_plain_training_and_is_a_table() -> None:
    weighting = MetaClassWeights(META, 3)
    target = torch.tensor([0, 2, 1, 2])
    assert weighting(Evidence(target=target)).tolist() == [1.0] * 4
    with torch.no_grad():
        weighting.logs.copy_(torch.tensor([0.0, 1.0, 2.0]))
    table = weighting.class_weights
    torch.testing.assert_close(table.mean(), torch.tensor(1.0))
    torch.testing.assert_close(table[2] / table[0], torch.tensor(2.0).exp())
    weights = weighting(Evidence(target=target)).detach()
    torch.testing.assert_close(weights / weights[0], table[target] / table[0])
    torch.testing.assert_close(weights.mean(), torch.tensor(1.0))
