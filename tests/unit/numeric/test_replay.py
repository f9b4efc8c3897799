from __future__ import annotations

import pytest
import torch
from networks import Attention, Convolution
from torch import Tensor, nn
from torch.func import functional_call

from steelyard.core.influence import row_slopes
from steelyard.nets import ResNet32
from steelyard.numeric.directional import forward_slopes
from steelyard.numeric.replay import NotTheSame, Recording


class Mixed(nn.Module):
    """Convolutions of one and three dimensions, in groups, with and without bias, frozen and not, and a second head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(4, 8, 3, padding="same", groups=2), nn.Conv3d(8, 4, (1, 1, 3), bias=True)
        self.frozen = nn.Conv1d(4, 6, 1).requires_grad_(False)
        self.bias_only = nn.Conv1d(6, 6, 1)
        self.bias_only.weight.requires_grad_(False)
        self.norm, self.still, self.head = nn.BatchNorm1d(6), nn.BatchNorm1d(6, affine=False), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = self.second(x[:, :, None, None]).flatten(2)
        return self.head(self.still(self.norm(torch.tanh(self.bias_only(self.frozen(x))))).mean(2))


CASES = {
    "convolution": (Convolution, (3, 8, 8)),
    "resnet32": (lambda: ResNet32(3), (3, 32, 32)),
    "attention": (Attention, (3, 8, 8)),
    "mixed": (Mixed, (4, 9)),
}


def problem(name: str, dtype: torch.dtype = torch.float64):
    torch.manual_seed(0)
    build, shape = CASES[name]
    model = build().to(dtype)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    inputs, target = torch.randn(7, *shape).to(dtype), torch.randint(0, 3, (7,))
    at = {key: value.detach() for key, value in model.named_parameters() if value.requires_grad}

    def losses(params) -> Tensor:
        state = {key: value.clone() for key, value in model.named_buffers()} | dict(params)
        return nn.functional.cross_entropy(functional_call(model, state, (inputs,)), target, reduction="none")

    return model, losses, at, {key: torch.randn_like(value) for key, value in at.items()}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_the_derivatives_are_those_of_a_pass_of_its_own(name: str, training: bool) -> None:
    if name == "attention":
        training = False  # its attention draws a mask of its own in each pass
    model, losses, at, direction = problem(name)
    model.train(training)
    with Recording() as record:
        losses(at)
    assert record.made
    expected = forward_slopes(losses, at, direction)
    torch.testing.assert_close(forward_slopes(losses, at, direction, record), expected, rtol=1e-10, atol=1e-12)


def test_in_channels_last() -> None:
    model, losses, at, direction = problem("convolution", torch.float32)
    model.to(memory_format=torch.channels_last)
    with Recording() as record:
        losses(at)
    torch.testing.assert_close(
        forward_slopes(losses, at, direction, record), forward_slopes(losses, at, direction), rtol=1e-4, atol=1e-5
    )


def test_recording_changes_no_value_and_no_gradient() -> None:
    model, losses, at, _ = problem("convolution")
    leaves = {key: value.clone().requires_grad_() for key, value in at.items()}
    plain = losses(leaves)
    with Recording():
        recorded = losses(leaves)
    assert torch.equal(plain, recorded)
    for one, other in zip(
        torch.autograd.grad(plain.sum(), list(leaves.values())),
        torch.autograd.grad(recorded.sum(), list(leaves.values())),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    before = {key: value.clone() for key, value in model.named_buffers()}
    with Recording():
        model(torch.randn(7, 3, 8, 8).double())
    assert any(not torch.equal(before[key], value) for key, value in model.named_buffers())


@pytest.mark.parametrize("later", ["fewer", "wider", "another kind"])
def test_a_pass_that_is_another_one_is_noticed_and_done_anew(later: str) -> None:
    conv, calls = nn.functional.conv1d, [0]

    def losses(params) -> Tensor:
        x = params["x"].view(1, 1, -1)
        calls[0] += 1
        if calls[0] == 1 or later == "wider":
            x = conv(x, torch.ones(1, 1, 1 if calls[0] == 1 else 2))
        elif later == "another kind":
            x = nn.functional.conv2d(x[None], torch.ones(1, 1, 1, 1))[0]
        return conv(x, torch.full((1, 1, 1), 2.0)).sum((1, 2))

    at = {"x": torch.ones(4)}
    with Recording() as record:
        losses(at)
    with pytest.raises(NotTheSame):
        forward_slopes(losses, at, at, record)
    expected = 12.0 if later == "wider" else 8.0
    assert row_slopes(losses, at, at, record=record).item() == expected


@pytest.mark.parametrize("change", [torch.relu_, lambda x: x.mul_(2).tanh_(), lambda x: x.add_(1).tanh_()])
@pytest.mark.parametrize("norm", [True, False])
def test_values_changed_in_place_are_not_taken_from_the_record(change, norm: bool) -> None:
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(4).double() if norm else nn.Conv2d(4, 4, 1).double()
    ahead, inputs = nn.Conv2d(3, 4, 3).double(), torch.randn(6, 3, 5, 5).double()
    model = nn.ModuleDict({"ahead": ahead, "layer": layer})
    at = {name: value.detach() for name, value in model.named_parameters()}
    direction = {name: torch.randn_like(value) for name, value in at.items()}

    def through(model: nn.ModuleDict) -> Tensor:
        return change(model["layer"](model["ahead"](inputs))).mean((1, 2, 3))

    def losses(params) -> Tensor:
        state = {name: value.clone() for name, value in model.named_buffers()} | dict(params)
        return functional_call(_Wrapped(model, through), {f"model.{name}": value for name, value in state.items()}, ())

    leaves = {name: value.clone().requires_grad_() for name, value in at.items()}
    with Recording() as record:
        kept = losses(leaves)
    expected = forward_slopes(losses, at, direction)
    torch.testing.assert_close(forward_slopes(losses, at, direction, record), expected)
    kept.sum().backward()  # the graph of the recorded pass is whole


class _Wrapped(nn.Module):
    def __init__(self, model: nn.Module, through) -> None:
        super().__init__()
        self.model, self.through = model, through

    def forward(self) -> Tensor:
        return self.through(self.model)


def test_a_record_that_ends_too_soon_is_noticed() -> None:
    _, losses, at, direction = problem("convolution")
    with Recording() as record:
        losses(at)
    expected = forward_slopes(losses, at, direction)
    record.made.pop()
    with pytest.raises(NotTheSame):
        forward_slopes(losses, at, direction, record)
    torch.testing.assert_close(row_slopes(losses, at, direction, record=record), expected)


def test_autocast_goes_the_plain_way() -> None:
    _, losses, at, direction = problem("convolution", torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with Recording() as record:
            losses(at)
        assert not record.made
        assert forward_slopes(losses, at, direction, record).isfinite().all()
