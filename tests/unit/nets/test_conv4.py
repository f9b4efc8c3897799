"""Conv4: sizes, and the layers in the order of the papers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from steelyard.core.errors import ArgumentError
from steelyard.nets import Conv4


@pytest.mark.parametrize(("side", "features"), [(84, 25), (28, 1), (32, 4), (8, 1), (1, 1)])
def test_features_of_any_size(side: int, features: int) -> None:
    assert Conv4(3, width=8).eval()(torch.zeros(2, 3, side, side)).shape == (2, 8 * features)


def test_a_block_is_convolution_norm_relu_and_pooling() -> None:
    net, x = Conv4(1, width=4).eval(), torch.randn(3, 1, 20, 20)
    expected = x
    for convolution, norm in zip(net.convolutions, net.norms, strict=True):
        expected = F.relu(norm(convolution(expected)))
        expected = F.max_pool2d(expected, 2) if min(expected.shape[-2:]) > 1 else expected
    torch.testing.assert_close(net(x), expected.flatten(1))
    assert net.maps(x, pools=2).shape == (3, 4, 5, 5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_maps_lie_in_the_fast_order_and_gradients_are_the_same(channels: int, training: bool) -> None:
    net, x = Conv4(channels, width=4).train(training).double(), torch.randn(3, channels, 12, 12, dtype=torch.float64)
    assert net.maps(x, pools=1).is_contiguous(memory_format=torch.channels_last)
    asked = [x.requires_grad_(), *net.parameters()]
    found = torch.autograd.grad(net(x).square().sum(), asked)
    values = x
    for convolution, norm in zip(net.convolutions, net.norms, strict=True):
        values = norm(convolution(values))
        values = F.relu(F.max_pool2d(values, 2) if min(values.shape[-2:]) > 1 else values)
    for mine, yours in zip(found, torch.autograd.grad(values.square().sum(), asked), strict=True):
        torch.testing.assert_close(mine, yours)


def test_sizes_are_checked() -> None:
    with pytest.raises(ArgumentError, match="width"):
        Conv4(1, width=0)
