from __future__ import annotations

import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.core.head import find_head
from steelyard.nets.point_mlp import PointMLP


def test_rows_are_the_points_that_are_asked_for() -> None:
    net = PointMLP(3, 4, hidden=[8]).eval()
    xyz, features = torch.rand(2, 5, 3), torch.rand(2, 5, 4)
    asked = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 0, 1]], dtype=torch.bool)
    every, some = net(xyz, features), net(xyz, features, asked)
    assert every.shape == (10, 3)
    assert torch.equal(some, every.reshape(2, 5, 3)[asked])
    assert find_head(net) == ("head", net.head)


def test_features_are_standardised_and_the_numbers_are_stored() -> None:
    net = PointMLP(2, 3)
    net.standardise(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 0.0, 1.0]))
    assert net.std.tolist() == [2, 1, 1]  # a feature that never changes is left as it is
    again = PointMLP(2, 3)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.mean, net.mean)
    net.eval(), again.eval()
    moved = PointMLP(2, 3).eval()
    moved.load_state_dict({**net.state_dict(), "mean": torch.zeros(3), "std": torch.ones(3)})
    features = torch.rand(1, 4, 3)
    torch.testing.assert_close(net(features, features), moved(features, (features - net.mean) / net.std))


def test_features_of_another_number_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`features` .*\[B, n, 3\]"):
        PointMLP(2, 3)(torch.rand(2, 5, 3), torch.rand(2, 5, 4))
