"""A backbone with a classifier: frozen statistics, and where the features are."""

from __future__ import annotations

import torch
from torch import nn

from steelyard.core.head import find_head
from steelyard.tasks.adapters.classifier import AdaptedClassifier


def encoder() -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), nn.Flatten())


def test_frozen_statistics_stay_and_everything_else_follows_the_mode() -> None:
    model = AdaptedClassifier(encoder(), 4, 3, frozen=True).train()
    model(torch.rand(6, 1, 2, 2) + 5)
    assert model.encoder[0].running_mean.item() == 0  # type: ignore[index,union-attr]
    assert model.encoder[1].training  # type: ignore[index,union-attr]
    moving = AdaptedClassifier(encoder(), 4, 3, frozen=False).train()
    moving(torch.rand(6, 1, 2, 2) + 5)
    assert moving.encoder[0].running_mean.item() != 0  # type: ignore[index,union-attr]


def test_the_classifier_is_the_last_linear_layer() -> None:
    found = find_head(AdaptedClassifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 4)), 4, 3, frozen=True))
    assert found is not None
    assert found[0] == "head"
