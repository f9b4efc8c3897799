"""Statistics that stay while a model is trained."""

import copy

import pytest
import torch
from torch import nn

from steelyard.nets import MLP, FrozenStatistics, ResNet32, find_head


def network():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))


def buffers(model):
    return {name: value.clone() for name, value in model.named_buffers()}


def test_statistics_and_counters_stay_whatever_the_mode():
    model = network()
    frozen, before = FrozenStatistics(model), buffers(model)
    for mode in (True, False, True):
        frozen.train(mode)(torch.randn(16, 4) + 3)
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())


def test_they_are_frozen_at_once_and_only_they():
    model = network().train()
    frozen = FrozenStatistics(model)
    assert not model[1].training
    assert all(module.training for module in (frozen, model, model[0], model[3], model[4]))
    frozen.eval()
    assert not any(module.training for module in frozen.modules())


def test_it_scores_like_the_model_in_evaluation_mode_but_for_dropout():
    model = ResNet32(3)
    inputs = torch.randn(4, 3, 8, 8)
    model(inputs)
    assert torch.equal(FrozenStatistics(model).train()(inputs), model.eval()(inputs))


def test_the_model_is_unfrozen_on_its_own():
    model = network()
    FrozenStatistics(model)
    before = buffers(model)
    model.train()(torch.randn(16, 4))
    assert not torch.equal(model[1].running_mean, before["1.running_mean"])


def test_gradients_reach_the_layers_of_the_model():
    model = network()
    FrozenStatistics(model)(torch.randn(6, 4)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    "layer",
    [
        nn.InstanceNorm1d(4, track_running_stats=True),
        nn.SyncBatchNorm(4),
        nn.Sequential(nn.Identity(), nn.BatchNorm2d(4)),
    ],
)
def test_every_layer_with_running_statistics_is_found(layer):
    assert not any(module.training for module in FrozenStatistics(layer).model.modules() if list(module.buffers(recurse=False)))


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4, track_running_stats=False), nn.LayerNorm(4), nn.GroupNorm(2, 4)])
def test_layers_without_running_statistics_are_left_alone(layer):
    assert FrozenStatistics(layer).train().model.training


def test_a_copy_is_frozen_too():
    frozen = copy.deepcopy(FrozenStatistics(network())).train()
    assert not frozen.model[1].training


def test_the_classifier_is_found_and_tables_go_through():
    frozen = FrozenStatistics(MLP(2, numeric=2, cardinalities=[3], norm="batch"))
    assert find_head(frozen)[0] == "model.head"
    table = {"numeric": torch.randn(5, 2), "categorical": torch.ones(5, 1, dtype=torch.int64)}
    assert frozen(table).shape == (5, 2)
