"""ResNet-32: exact size, option-A shortcuts, and use by the machinery."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, jvp

from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import generator
from steelyard.nets.cosine_head import NormedLinear
from steelyard.nets.resnet32 import Block, ResNet32


def images(rows: int = 2, channels: int = 3, side: int = 32) -> torch.Tensor:
    return torch.randn(rows, channels, side, side, generator=generator(0, "images"))


def size_of(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_parameter_count_is_the_published_one():
    assert size_of(ResNet32(10)) == 464_154
    assert size_of(ResNet32(100)) == 464_154 + 90 * 65
    assert size_of(ResNet32(10, in_channels=1)) == 464_154 - 2 * 16 * 9


def test_it_has_31_convolutions_and_one_linear_layer():
    kinds = [type(module) for module in ResNet32(10).modules()]
    assert kinds.count(nn.Conv2d) == 31
    assert kinds.count(nn.Linear) == 1


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("side", [8, 17, 32])
def test_shapes(channels: int, side: int):
    model = ResNet32(7, in_channels=channels)
    batch = images(3, channels, side)
    assert model(batch).shape == (3, 7)
    assert model.features(batch).shape == (3, 64)


def test_one_image_in_eval_mode_scores_as_it_does_in_a_batch():
    model = ResNet32(5).eval()
    batch = images(4)
    torch.testing.assert_close(model(batch[:1]), model(batch)[:1], rtol=1e-4, atol=1e-5)


def test_memory_order_of_the_input_does_not_matter():
    model = ResNet32(5).eval()
    batch = images(2)
    assert torch.equal(model(batch), model(batch.contiguous(memory_format=torch.channels_last)))


@pytest.mark.parametrize(("channels", "width", "stride"), [(16, 16, 1), (16, 32, 2), (32, 64, 2)])
def test_block_equals_a_loop_over_padded_channels(channels: int, width: int, stride: int):
    block = Block(channels, width, stride).eval()
    x = images(2, channels, 9)
    inner = F.relu(block.bn1(block.conv1(x)))
    inner = block.bn2(block.conv2(inner))
    shortcut = torch.zeros_like(inner)
    margin = (width - channels) // 2
    for c in range(channels):
        for row in range(inner.shape[2]):
            for column in range(inner.shape[3]):
                shortcut[:, margin + c, row, column] = x[:, c, stride * row, stride * column]
    torch.testing.assert_close(block(x), F.relu(inner + shortcut))


def test_weights_have_kaiming_variance():
    torch.manual_seed(0)
    weight = ResNet32(10).stages[-1].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


def test_weights_come_from_the_global_generator():
    torch.manual_seed(3)
    one = ResNet32(4)
    torch.manual_seed(3)
    two = ResNet32(4)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_normed_ends_in_a_cosine_classifier():
    model = ResNet32(6, normed=True).eval()
    assert isinstance(model.head, NormedLinear)
    assert size_of(model) == 464_154 - 650 + 64 * 6
    assert model(images()).abs().max() <= 1 + 1e-5


def test_gradients_reach_every_parameter():
    model = ResNet32(10)
    F.cross_entropy(model(images(4)), torch.arange(4)).backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters())


def test_bfloat16_autocast_is_close_to_float32():
    model = ResNet32(10).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model(images())
    assert low.dtype == torch.bfloat16
    full = model(images())
    assert (low.float() - full).abs().max() < 0.1 * full.abs().max()


def test_state_dict_round_trip():
    one, two = ResNet32(10), ResNet32(10)
    one(images(8))
    two.load_state_dict(one.state_dict())
    assert torch.equal(one.eval()(images()), two.eval()(images()))


def test_functional_call_uses_the_parameters_it_is_given():
    model = ResNet32(10).eval()
    doubled = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in doubled.parameters():
            parameter *= 2
    before = model(images())
    got = functional_call(model, dict(doubled.named_parameters()), (images(),))
    torch.testing.assert_close(got, doubled(images()))
    assert torch.equal(model(images()), before)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own, on the first jvp
def test_forward_mode_derivative_agrees_with_finite_differences():
    model = ResNet32(3).double()
    state = {name: value.clone() for name, value in model.named_buffers()}
    params = {name: p.detach() for name, p in model.named_parameters()}
    stream = generator(1, "tangent")
    tangent = {name: torch.randn(p.shape, generator=stream, dtype=p.dtype) for name, p in params.items()}
    x = images(4, side=8).double()

    def score(values):
        return functional_call(model, {k: v.clone() for k, v in state.items()} | values, (x,)).square().mean()

    _, slope = jvp(score, (params,), (tangent,))
    step = 1e-7
    up, down = (score({k: p + s * step * tangent[k] for k, p in params.items()}) for s in (1, -1))
    assert slope.item() == pytest.approx(((up - down) / (2 * step)).item(), rel=1e-4)


@pytest.mark.parametrize("wrong", [{"num_classes": 0}, {"num_classes": 3, "in_channels": 0}])
def test_refuses_counts_below_one(wrong):
    with pytest.raises(ArgumentError, match="at least 1"):
        ResNet32(**wrong)
