"""Exchanging the classifier."""

import pytest
import torch
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.core.head import Head, find_head
from steelyard.nets.cosine_head import NormedLinear
from steelyard.nets.heads import head_parameters, reset_head, with_head
from steelyard.nets.resnet32 import ResNet32


def test_replaces_the_last_linear_layer_in_place():
    model = ResNet32(10)
    head = NormedLinear(64, 10)
    assert with_head(model, head) is model
    assert model.head is head
    assert find_head(model) == ("head", head)
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


def test_replaces_a_cosine_head_again():
    model = with_head(ResNet32(10, normed=True), nn.Linear(64, 3))
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 3)


def test_nested_names():
    model = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), nn.Identity())
    with_head(model, nn.Linear(3, 7))
    assert model(torch.zeros(1, 4)).shape == (1, 7)


def test_a_model_that_is_its_own_head():
    head = nn.Linear(4, 5)
    assert with_head(nn.Linear(4, 2), head) is head


def test_a_layer_used_twice_is_replaced_everywhere():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    head = nn.Linear(4, 4)
    with_head(model, head)
    assert model[0] is head
    assert model[2] is head


def test_a_tied_weight_stays_with_the_other_layer():
    model = nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 6))
    model[1].weight = model[0].weight
    with_head(model, nn.Linear(4, 3))
    assert model[0].weight.shape == (6, 4)
    assert model(torch.zeros(2, dtype=torch.int64)).shape == (2, 3)


def test_new_head_takes_dtype_and_mode():
    model = nn.Sequential(nn.Linear(2, 2).double()).eval()
    with_head(model, nn.Linear(2, 3))
    assert model[0].weight.dtype == torch.float64
    assert not model[0].training


def test_refuses_a_model_without_linear_layer():
    with pytest.raises(ArgumentError, match="`model`"):
        with_head(nn.Conv2d(1, 1, 1), nn.Linear(1, 1))


def test_refuses_a_head_of_another_width():
    with pytest.raises(ArgumentError, match=r"`head`.*64.*32"):
        with_head(ResNet32(10), nn.Linear(32, 10))


def test_the_parameters_of_the_classifier():
    model = ResNet32(10)
    assert [id(p) for p in head_parameters(model)] == [id(p) for p in model.head.parameters()]
    with pytest.raises(ArgumentError, match="linear layer"):
        head_parameters(nn.Flatten())


@pytest.mark.parametrize("head", [nn.Linear(4, 3), nn.Linear(4, 3, bias=False).double(), NormedLinear(4, 3)])
def test_weights_are_drawn_anew_in_place_and_as_the_generator_says(head):
    model = nn.Sequential(nn.Linear(4, 4), head)
    body, before = model[0].weight.clone(), head.weight.clone()
    torch.manual_seed(3)
    reset_head(model)
    first = head.weight.clone()
    assert model[1] is head
    assert torch.equal(model[0].weight, body)
    assert not (first == before).any()
    reset_head(model)
    assert not torch.equal(head.weight, first)
    torch.manual_seed(3)
    reset_head(model)
    assert torch.equal(head.weight, first)


def test_a_classifier_that_cannot_draw_is_refused():
    class Fixed(Head):
        in_features, out_features = 4, 3

    with pytest.raises(ArgumentError, match="reset_parameters"):
        reset_head(nn.Sequential(Fixed()))
    with pytest.raises(ArgumentError, match="linear layer"):
        reset_head(nn.Flatten())
