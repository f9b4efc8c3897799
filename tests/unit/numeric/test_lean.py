"""Graphs that make results of batch normalisation again instead of keeping them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call

from steelyard.nets import ResNet32
from steelyard.numeric.lean import Lean


def layers(*more: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), *more, nn.Conv2d(4, 3, 3), nn.Flatten()).double()


def gradients(model: nn.Module, images: Tensor, lean: bool) -> list[Tensor]:
    leaves = {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    if lean:
        with Lean():
            loss = functional_call(model, leaves | buffers, (images,)).square().mean()
    else:
        loss = functional_call(model, leaves | buffers, (images,)).square().mean()
    return [loss.detach(), *torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True), *buffers.values()]


class Reused(nn.Module):
    """The result of a normalisation in two places, one of them changed in place afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.after = nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.norm(x)
        two = torch.relu(one) * one.exp()
        one.mul_(3)  # nobody needs the value before it
        return self.after(torch.relu(one)) + self.after(two)


class Untouched(nn.Module):
    """Values that come to lie where other ones were."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(2) for _ in range(20))

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for norm in self.norms:
            norm(x)
            total = total + (x + 1).tanh() * (x - 1).sigmoid()
        return total * self.norms[0].weight[:, None, None]


MODELS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: layers(nn.ReLU()),
    "relu in place": lambda: layers(nn.ReLU(inplace=True)),
    "no relu": layers,
    "another function": lambda: layers(nn.GELU()),
    "two relus": lambda: layers(nn.ReLU(inplace=True), nn.ReLU()),
    "changed in place after": lambda: Reused().double(),
    "same places": lambda: Untouched().double(),
    "evaluation": lambda: layers(nn.ReLU()).eval(),
    "resnet": lambda: ResNet32(3, in_channels=2).double(),
}


@pytest.mark.parametrize("name", MODELS)
def test_gradients_statistics_and_values_are_those_of_the_whole_graph(name: str) -> None:
    torch.manual_seed(1)
    model, images = MODELS[name](), torch.randn(3, 2, 8, 8, dtype=torch.float64)
    for got, expected in zip(gradients(model, images, True), gradients(model, images, False), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def test_the_graph_holds_one_image_a_layer() -> None:
    torch.manual_seed(3)
    layer = [nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)]
    model, images = nn.Sequential(*layer * 3), torch.randn(2, 4, 16, 16, requires_grad=True)
    lean, asked = Lean(), set[int]()

    def noting(value: Tensor) -> object:
        kept = pack(value)
        if isinstance(kept, Tensor) and kept.numel() == images.numel():
            asked.add(kept.data_ptr())
        return kept

    def whole(value: Tensor) -> Tensor:
        asked.update([value.data_ptr()] * (value.numel() == images.numel()))
        return value

    with saved_tensors_hooks(whole, lambda value: value):
        model(images)
    assert len(asked) == 7  # the images, and two a layer

    asked.clear()
    pack, lean._hooks.pack_hook = lean._hooks.pack_hook, noting
    with lean:
        loss = model(images).sum()
    assert len(asked) == 4  # the images, and one a layer
    torch.autograd.grad(loss, images)
