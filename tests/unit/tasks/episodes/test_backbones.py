"""What may be given as the model of a few-shot learner."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.nets import Conv4
from steelyard.tasks.episodes.backbones import FEATURES, USUAL_WIDTH, backbone_builder

IMAGE, VECTOR = (1, 12, 12), (7,)


def features(model: nn.Module, shape: tuple[int, ...]) -> int:
    found = model.eval()(torch.zeros(3, *shape))
    assert found.ndim == 2
    return int(found.shape[1])


def test_auto_goes_by_the_inputs():
    made = backbone_builder("auto", shape=IMAGE)()
    assert isinstance(made, Conv4)
    assert made.width == USUAL_WIDTH
    assert features(backbone_builder("auto", shape=VECTOR)(), VECTOR) == FEATURES


@pytest.mark.parametrize(("name", "settings"), [("small-cnn", {"width": 4}), ("conv4", {"width": 4}), ("resnet32", {})])
def test_named_models_lose_their_classifier(name, settings):
    made = backbone_builder(name, settings, shape=IMAGE)
    assert made.name == name
    assert features(made(), IMAGE) > 2


def test_modules_and_functions_give_features_as_they_are():
    assert features(backbone_builder(nn.Flatten(), shape=IMAGE)(), IMAGE) == 144
    assert features(backbone_builder(lambda num_classes: nn.Linear(7, num_classes), shape=VECTOR)(), VECTOR) == FEATURES


@pytest.mark.parametrize(
    ("model", "settings", "shape", "error", "said"),
    [
        ("conv4", {}, VECTOR, ArgumentError, "vectors of 7 numbers"),
        ("conv4", {"depth": 3}, IMAGE, UnknownName, "width"),
        ("mlp", {"hidden": 3}, VECTOR, UnknownName, "unknown setting of mlp"),
        ("small-cnn", {}, VECTOR, ArgumentError, "takes images"),
        ("conv5", {}, IMAGE, UnknownName, "did you mean 'conv4'"),
        ("conv4", {"width": 0}, IMAGE, ArgumentError, "`width`"),
        ("conv4", {"width": "wide"}, IMAGE, ArgumentError, "`width`"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(model, settings, shape, error, said):
    with pytest.raises(error, match=said):
        backbone_builder(model, settings, shape=shape)
