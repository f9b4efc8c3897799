"""Layers in a row that compute several members at once, where `torch.vmap` alone would need more passes over memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Places: TypeAlias = tuple[Any, ...]

LEVELS = 1 << 16
"""Dropout of many members on the CPU draws 16 bits a number: a share is rounded to a multiple of 2^-16."""

POINTWISE = (nn.ReLU, nn.SiLU, nn.GELU, nn.Tanh, nn.Identity)
"""Layers that treat each number alone: the members' dimension changes nothing for them."""


def for_many(model: nn.Module) -> nn.Module:
    """Exchange rows of simple layers for such that know what to do below `torch.vmap`, in place. Nothing else changes."""
    for layer in model.modules():
        if type(layer) is nn.Sequential and all(_is_simple(part) for part in layer):
            layer.__class__ = _Row
    return model


def _is_simple(layer: nn.Module) -> bool:
    """A linear layer, LayerNorm over the last dimension, dropout or an activation, without hooks."""
    hooked = layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks
    if isinstance(layer, nn.LayerNorm) and (len(layer.normalized_shape) != 1 or len(list(layer.parameters())) == 1):
        return False
    return not hooked and type(layer) in (nn.Linear, nn.LayerNorm, nn.Dropout, *POINTWISE)


class _Row(nn.Sequential):
    """Simple layers one after another: one call below `vmap` instead of one a layer, since each costs time of its own."""

    def forward(self, input: Tensor) -> Tensor:
        found: Tensor
        if input.device.type != "cpu" or input.dtype != torch.float32 or torch.is_autocast_enabled("cpu") or len(self) == 0:
            found = input
            for layer in self:
                found = layer(found)
            return found
        numbers = [value for layer in self for value in layer._parameters.values() if value is not None]
        found = _RowOfMany.apply(self, input, torch.rand(1), *numbers)  # type: ignore[no-untyped-call]
        return found


class _RowOfMany(torch.autograd.Function):
    """The layers of a `_Row`; `key` differs between members, so that the rule below is used whatever the input is."""

    generate_vmap_rule = False

    @staticmethod
    def forward(row: _Row, inputs: Tensor, key: Tensor, *numbers: Tensor) -> Tensor:
        raise NotImplementedError("these layers work below torch.vmap only")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Nothing is kept: the rule's own operations are."""

    @staticmethod
    def vmap(info: Any, places: Places, row: _Row, inputs: Tensor, key: Tensor, *numbers: Tensor) -> tuple[Tensor, int]:
        size = info.batch_size
        found = _first(inputs, places[1], size)
        stacked = iter(_first(value, place, size) for value, place in zip(numbers, places[3:], strict=True))
        shape = found.shape
        found = found.reshape(size, -1, shape[-1])
        layers = list(row)
        while layers:
            layer, *layers = layers
            norm = layer if isinstance(layer, nn.LayerNorm) and layer.elementwise_affine and row.training else None
            if norm is not None and [type(part) for part in layers[:2]] == [nn.ReLU, nn.Dropout]:
                share = float(cast(nn.Dropout, layers[1]).p)
                if share < 1:
                    weight, bias = (next(stacked).unsqueeze(1) for _ in range(2))
                    found = _Hidden.apply(found.contiguous(), weight, bias, norm.eps, share)  # type: ignore[no-untyped-call]
                    layers = layers[2:]
                    continue
            found = _once(layer, found, stacked)
        return found.reshape(*shape[:-1], found.shape[-1]), 0


def _once(layer: nn.Module, inputs: Tensor, numbers: Iterator[Tensor]) -> Tensor:
    """One layer for all members: `[k, N, d]` to `[k, N, e]`; takes its parameters `[k, ...]` off `numbers`."""
    found: Tensor
    if isinstance(layer, nn.Linear):
        weight = next(numbers).transpose(1, 2)
        if "bias" in layer._parameters and layer._parameters["bias"] is not None:
            return torch.baddbmm(next(numbers).unsqueeze(1), inputs, weight)
        return torch.bmm(inputs, weight)
    if isinstance(layer, nn.LayerNorm):
        found = F.layer_norm(inputs, tuple(layer.normalized_shape), eps=layer.eps)
        if layer.elementwise_affine:
            weight, bias = next(numbers).unsqueeze(1), next(numbers).unsqueeze(1)
            found = torch.addcmul(bias, found, weight)
        return found
    if isinstance(layer, nn.Dropout):
        if not layer.training or layer.p in (0, 1):
            return F.dropout(inputs, layer.p, layer.training)
        return inputs * kept(inputs.shape, layer.p)
    found = layer(inputs)
    return found


class _Hidden(torch.autograd.Function):
    """`dropout(relu(weight * normal(x) + bias))` of `[k, N, d]` in few passes over memory, forward and back."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, eps: float, share: float) -> Tensor:
        normal, mean, scale = torch.native_layer_norm(inputs, weight.shape[-1:], None, None, eps)
        found = torch.addcmul(bias, normal, weight).relu_()
        if share > 0:
            found.mul_(kept(found.shape, share))
        ctx.save_for_backward(inputs, normal, mean, scale, weight, found)
        ctx.factor = LEVELS / (LEVELS - _dropped(share))
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        inputs, normal, mean, scale, weight, found = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grads[0], found, 0)  # what ReLU or dropout made 0 has no gradient
        for_bias = grad.sum(1, keepdim=True) * ctx.factor
        for_weight = (grad * normal).sum(1, keepdim=True) * ctx.factor
        grad.mul_(weight * ctx.factor)
        for_inputs = torch.ops.aten.native_layer_norm_backward(
            grad, inputs, weight.shape[-1:], mean, scale, None, None, [True, False, False]
        )[0]
        return for_inputs, for_weight, for_bias, None, None


def kept(shape: torch.Size, share: float) -> Tensor:
    """0 with probability `share`, else `1 / (1 - share)`, float32 on the CPU; `share` to a multiple of 2^-16, below 1.

    Drawn 64 bits at a time from torch's global generator: several times faster than one call a number.

    Example:
        >>> kept(torch.Size([4]), 0.0)
        tensor([1., 1., 1., 1.])
    """
    dropped = _dropped(share)
    words = torch.empty(-(-shape.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    numbers = words.view(torch.int16)[: shape.numel()].float()  # -2^15 to 2^15 - 1, evenly
    return numbers.sub_(dropped - LEVELS // 2 - 1).clamp_(0, 1).mul_(LEVELS / (LEVELS - dropped)).view(shape)


def _dropped(share: float) -> int:
    return min(round(share * LEVELS), LEVELS - 1)


def _first(value: Tensor, place: int | None, size: int) -> Tensor:
    """The value with the members as its first dimension."""
    return value.expand(size, *value.shape) if place is None else value.movedim(place, 0)
