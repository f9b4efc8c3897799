"""Linear layers, LayerNorm, ReLU and dropout of several members against each member on its own."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from dropped import parts_of
from torch import Tensor

from steelyard.core import stacked_blocks
from steelyard.core.stacked_blocks import Block, Hidden
from steelyard.core.stacked_dropout import Drops, factor, level
from steelyard.core.stacked_products import NEVER


def numbers(*shapes: tuple[int, ...]) -> list[Tensor]:
    stream = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=stream).requires_grad_() for shape in shapes]


def reference(inputs: Tensor, blocks: list[Block], values: list[Tensor]) -> Tensor:
    members, rows = inputs.shape[:2]
    drops = Drops.draw([block.share for block in blocks], [bias.shape[1] for bias in values[1::4]], rows, members)
    drawn = [parts_of(drops, j) for j in range(members)]
    for at, block in enumerate(blocks):
        weight, bias, scale, shift = values[4 * at : 4 * at + 4]
        hidden = torch.einsum("kni,koi->kno", inputs, weight) + bias.unsqueeze(1)
        normal = F.layer_norm(hidden, hidden.shape[-1:], eps=block.eps) * scale.unsqueeze(1) + shift.unsqueeze(1)
        inputs = normal.relu()
        if block.share:
            inputs = inputs * (torch.stack([own[at] for own in drawn]) > level(block.share)) * factor(block.share)
    return inputs


@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("rows", [6, 300])
@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.2, 0.0), (0.3, 0.6)])
def test_blocks_and_their_gradients_are_those_of_the_layers(kernel, rows, shares, monkeypatch) -> None:
    if not kernel:
        monkeypatch.setattr(stacked_blocks, "least", lambda: NEVER)
    inputs, *values = numbers(
        (6, rows, 20), (6, 90, 20), (6, 90), (6, 90), (6, 90), (6, 40, 90), (6, 40), (6, 40), (6, 40)
    )  # fmt: skip
    blocks = [Block(1e-5, share) for share in shares]
    torch.manual_seed(7)
    found = Hidden.apply(inputs, blocks, *values)
    torch.manual_seed(7)
    wanted = reference(inputs, blocks, values)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
    ours = torch.autograd.grad(found.sin().sum(), [inputs, *values])
    theirs = torch.autograd.grad(wanted.sin().sum(), [inputs, *values])
    for gradient, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, other, rtol=2e-3, atol=2e-3)


def test_a_step_leaves_nothing_behind() -> None:
    inputs, *values = numbers((2, 4, 3), (2, 5, 3), (2, 5), (2, 5), (2, 5))
    gc.disable()
    try:
        found = Hidden.apply(inputs, [Block(1e-5)], *values)
        held = weakref.ref(found)
        found.sum().backward()
        del found
        assert held() is None
    finally:
        gc.enable()
