"""Gradients of a few rows, read off the backward pass of all: when that is possible, and that it is right."""

import pytest
import torch
from torch import Tensor, nn

from steelyard.descents._rowwise import RowGradients, picked, uses_of

ROWS = torch.tensor([1, 4])


def named(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def watched(model: nn.Module, inputs: Tensor) -> tuple[RowGradients, Tensor]:
    gradients = RowGradients(model, named(model))
    with gradients.watching():
        loss = model(inputs).square().sum()
    return gradients, loss


def taken(gradients: RowGradients, loss: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    with gradients.of(ROWS, {}, found):
        loss.backward()
    return found


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2, bias=False)), (6, 3)),
        (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), (6, 5, 3)),
        (nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.Flatten(), nn.Linear(20, 2)), (6, 2, 5)),
        (nn.Sequential(nn.Conv2d(2, 4, (3, 1), stride=2, groups=2, bias=False), nn.ReLU(inplace=True)), (6, 2, 5, 5)),
        (nn.Sequential(nn.Conv3d(2, 4, 2, dilation=2)), (6, 2, 3, 3, 3)),
        (nn.Sequential(nn.BatchNorm1d(3).eval(), nn.Linear(3, 2)), (6, 3)),
    ],
    ids=["linear", "linear on sequences", "conv1d", "conv2d", "conv3d", "norm in evaluation mode"],
)
def test_where_rows_do_not_see_each_other_it_is_their_own_gradient(model, shape):
    model = model.double()
    inputs = torch.randn(shape, dtype=torch.float64)
    gradients, loss = watched(model, inputs)
    assert gradients.covers(loss, 6)
    found = taken(gradients, loss)
    alone = torch.autograd.grad(model(inputs[ROWS]).square().sum(), list(named(model).values()))
    assert set(found) == set(named(model))
    for name, right in zip(named(model), alone, strict=True):
        torch.testing.assert_close(found[name], right)


@pytest.mark.parametrize("layout", ["rows", "channels last", "odd", "narrow"])
def test_rows_are_picked_in_every_layout(layout):
    values = {
        "rows": torch.randn(6, 3, 4, 4),
        "channels last": torch.randn(6, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        "odd": torch.randn(4, 6, 4, 3).permute(1, 3, 0, 2),
        "narrow": torch.randn(6, 3)[:, :2],
    }[layout]
    found = picked(values, ROWS)
    assert torch.equal(found, values[ROWS])
    if layout == "channels last":
        assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_normaliser_has_the_part_of_its_rows(layout):
    model = nn.BatchNorm2d(3).double()
    inputs = torch.randn(6, 3, 4, 4, dtype=torch.float64).contiguous(memory_format=layout)
    weights = torch.randn_like(inputs)
    gradients = RowGradients(model, named(model))
    with gradients.watching():
        loss = (model(inputs) * weights).sum()
    found: dict[str, Tensor] = {}
    variance, mean = torch.var_mean(inputs, (0, 2, 3), correction=0)
    with gradients.of(ROWS, {"running_mean": mean, "running_var": variance}, found):
        loss.backward()
    normal = ((inputs - mean.view(1, -1, 1, 1)) * (variance + model.eps).rsqrt().view(1, -1, 1, 1))[ROWS]
    torch.testing.assert_close(found["weight"], (weights[ROWS] * normal).sum((0, 2, 3)))
    torch.testing.assert_close(found["bias"], weights[ROWS].sum((0, 2, 3)))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, inputs):
        return self.layer(self.layer(inputs))


class Tied(nn.Module):
    """A layer's weight that is used beside its layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, inputs):
        return self.layer(inputs) @ self.layer.weight


class Folded(nn.Module):
    """A layer that sees two rows for every input."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, inputs):
        return self.layer(torch.cat([inputs, inputs])).reshape(2, len(inputs), 3).sum(0)


class Own(nn.Linear):
    """Not quite what it is derived from."""

    def forward(self, inputs):
        return super().forward(inputs - inputs.mean(0))


@pytest.mark.parametrize(
    "model",
    [
        Twice(),
        Tied(),
        Folded(),
        Own(3, 3),
        nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)),
        nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.1)),
        nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 3, padding=1, padding_mode="circular")),
        nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 3, padding="same")),
    ],
    ids=["twice", "tied", "folded", "derived", "another layer", "dropout", "circular", "same"],
)
def test_what_is_not_known_is_not_covered(model):
    gradients, loss = watched(model, torch.randn(6, 3))
    assert not gradients.covers(loss, 6)
    loss.backward()


def test_rows_scored_before_are_not_covered():
    model = nn.Linear(3, 2)
    loss = model(torch.randn(6, 3)).sum()
    gradients = RowGradients(model, named(model))
    with gradients.watching():
        pass
    assert not gradients.covers(loss, 6)


def test_frozen_and_unused_layers_do_not_matter():
    model = nn.ModuleDict({"a": nn.Linear(3, 2), "frozen": nn.LayerNorm(3).requires_grad_(False), "idle": nn.Linear(1, 1)})
    gradients = RowGradients(model, named(model))
    with gradients.watching():
        loss = model["a"](model["frozen"](torch.randn(6, 3))).sum()
    assert gradients.covers(loss, 6)
    assert set(taken(gradients, loss)) == {"a.weight", "a.bias"}


def test_nothing_stays_on_the_model():
    model = nn.Sequential(nn.Linear(3, 2))
    watched(model, torch.randn(6, 3))
    assert not model[0]._forward_hooks


def test_uses_are_counted():
    used, idle = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    uses = uses_of((used * used.exp() + used).sum())
    assert uses[id(used)] == 3
    assert id(idle) not in uses
    assert uses_of(torch.ones(())) == {}
