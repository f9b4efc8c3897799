from __future__ import annotations

import pytest
from torch import nn

from steelyard.core.errors import UnknownName
from steelyard.nets.pointnet2 import PointNet2
from steelyard.tasks.points.models import point_builder


def test_names_settings_and_own_modules() -> None:
    assert point_builder("auto", 2, 12, 2000, {}).name == "pointnet2"
    small = point_builder("pointnet2-small", 3, 8, 64, {})()
    assert isinstance(small, PointNet2)
    assert len(small.mean) == 8
    assert point_builder("point-mlp", 2, 4, 64, {"hidden": "(7,5)"})().get_submodule("head").in_features == 5
    assert point_builder(nn.Linear(3, 2), 2, 4, 64, {}).name == "Linear"


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match="'pointnet2'"):
        point_builder("pointnet", 2, 12, 64, {})
    with pytest.raises(UnknownName, match="setting of point-mlp"):
        point_builder("point-mlp", 2, 12, 64, {"width": "3"})
    with pytest.raises(UnknownName, match="none to choose"):
        point_builder("pointnet2", 2, 12, 64, {"width": "3"})
