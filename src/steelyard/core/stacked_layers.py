"""Layers in a row that compute several members at once, where `torch.vmap` alone would need more passes over memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from steelyard.core.stacked_blocks import Block, Hidden
from steelyard.core.stacked_dropout import kept
from steelyard.core.stacked_products import Affine
from steelyard.core.stacked_smooth import Given, Source, smooth

Places: TypeAlias = tuple[Any, ...]

POINTWISE = (nn.ReLU, nn.SiLU, nn.GELU, nn.Tanh, nn.Identity)
"""Layers that treat each number alone: the members' dimension changes nothing for them."""


def for_many(model: nn.Module) -> nn.Module:
    """Exchange rows of simple layers for such that know what to do below `torch.vmap`, in place. Nothing else changes."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and getattr(layer, "is_linear", False):
            layer.__class__ = nn.Linear
    for layer in model.modules():
        if type(layer) is nn.Sequential and len(layer) > 0 and all(_is_simple(part) for part in layer):
            layer.__class__ = _Row
    within = {id(part) for row in model.modules() if isinstance(row, _Row) for part in row}
    for layer in model.modules():
        if type(layer) is nn.Linear and id(layer) not in within and _is_simple(layer):
            layer.__class__ = _Alone
        if type(layer) is nn.Embedding and layer.max_norm is None and not layer.sparse and not _is_hooked(layer):
            layer.__class__ = _Lookup
    return model


def goes_without_map(model: nn.Module) -> bool:
    """Can layers `for_many` be given the members' numbers stacked, without `torch.vmap`, which costs time of its own?

    So it is where the model says that nothing but such layers touches what comes after its first one (`members_in_rows`), and
    all parameters are theirs, or of layers that say themselves that they take those of members, `[k, ...]`, as well
    (`takes_members`).
    """
    if not getattr(model, "members_in_rows", False):
        return False
    held = {
        id(value)
        for row in model.modules()
        if isinstance(row, _Row | _Alone | _Lookup) or (getattr(row, "takes_members", False) and not _is_hooked(row))
        for layer in row.modules()
        for value in layer._parameters.values()
    }
    return all(id(value) in held for value in model.parameters())


def is_fast(values: Tensor) -> bool:
    """Are these what the layers here compute with: float32 on the CPU, and no autocast?"""
    return values.device.type == "cpu" and values.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def is_plain() -> bool:
    """Is no more than ordinary differentiation at work: no transform of `torch.func`, forward mode, or compiler?"""
    return (
        torch._C._functorch.peek_interpreter_stack() is None
        and getattr(forward_ad, "_current_level", 0) < 0
        and not torch.compiler.is_compiling()
        and not torch._C._is_tracing()
    )


def _is_simple(layer: nn.Module) -> bool:
    """A linear layer, LayerNorm over the last dimension, dropout or an activation, without hooks."""
    if isinstance(layer, nn.LayerNorm) and (len(layer.normalized_shape) != 1 or len(list(layer.parameters())) == 1):
        return False
    return not _is_hooked(layer) and type(layer) in (nn.Linear, nn.LayerNorm, nn.Dropout, *POINTWISE)


def _is_hooked(layer: nn.Module) -> bool:
    return bool(layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks)


def joined(parts: list[Tensor]) -> Tensor:
    """Columns `[N, d]` side by side; where some are those of members, `[k, N, d]`, the others are the same for all of them.

    Example:
        >>> joined([torch.zeros(5, 2), torch.zeros(3, 5, 1)]).shape
        torch.Size([3, 5, 3])
    """
    if len(parts) == 1:
        return parts[0]
    many = next((part.shape[:-2] for part in parts if part.ndim > 2), None)
    if many is not None:
        parts = [part if part.ndim > 2 else part.expand(*many, *part.shape) for part in parts]
    return torch.cat(parts, dim=-1)


def in_row(layers: Sequence[nn.Module], inputs: Tensor) -> Tensor:
    """Layers one after another; those that take members' numbers are one operation, where they can be.

    A layer before them whose method `source` gives a `core.stacked_smooth.Source` of its output becomes part of it.

    Example:
        >>> in_row([nn.Flatten(), nn.Linear(6, 4)], torch.zeros(5, 2, 3)).shape
        torch.Size([5, 4])
    """
    found = inputs
    for at, layer in enumerate(layers):
        if is_fast(found):
            if simple := _of_members(layers[at:]):
                return _forward(simple, found)
            behind = _of_members(layers[at + 1 :])
            begin = getattr(layer, "source", None)
            if begin is not None and _length_of_smooth(behind) and not _is_hooked(layer):
                source, numbers = begin(found), iter(_numbers_of(behind))
                if source is not None:
                    found, left = _run_smooth(behind, source, numbers)
                    return _run(left, found, numbers)
        found = layer(found)
    return found


def _of_members(layers: Sequence[nn.Module]) -> list[nn.Module]:
    """The simple layers of these, if nothing else is among them and they have members' numbers; else none."""
    if not all(isinstance(layer, _Row | _Alone) and not _is_hooked(layer) for layer in layers):
        return []
    simple = [part for layer in layers for part in (layer if isinstance(layer, _Row) else [layer])]
    linear = next((layer for layer in simple if isinstance(layer, nn.Linear)), None)
    return simple if linear is not None and linear.weight.ndim == 3 else []


def _numbers_of(layers: Sequence[nn.Module]) -> list[Tensor]:
    return [value for layer in layers for value in layer._parameters.values() if value is not None]


class _Row(nn.Sequential):
    """Simple layers one after another: one call below `vmap` instead of one a layer, since each costs time of its own."""

    def forward(self, input: Tensor) -> Tensor:
        if not is_fast(input):
            found: Tensor = input
            for layer in self:
                found = layer(found)
            return found
        return _forward([*self], input)


class _Alone(nn.Linear):
    """A linear layer that stands in no row."""

    def forward(self, input: Tensor) -> Tensor:
        return _forward([self], input) if is_fast(input) else super().forward(input)


class _Lookup(nn.Embedding):
    """Vectors of categories `[N]`, which are the same rows for all members."""

    def forward(self, input: Tensor) -> Tensor:
        if self.weight.ndim == 2:
            return super().forward(input)
        return self.weight.index_select(1, input)


def _forward(layers: list[nn.Module], inputs: Tensor) -> Tensor:
    """Below `torch.vmap` or, with the members' numbers stacked, without it."""
    numbers = _numbers_of(layers)
    linear = next((layer for layer in layers if isinstance(layer, nn.Linear)), None)
    if linear is not None and linear.weight.ndim == 3:
        many = len(linear.weight)
        return _run(layers, inputs if inputs.ndim == 3 else inputs.expand(many, *inputs.shape), iter(numbers))
    found: Tensor = _RowOfMany.apply(layers, inputs, torch.rand(1), *numbers)  # type: ignore[no-untyped-call]
    return found


class _RowOfMany(torch.autograd.Function):
    """Layers in a row; `key` differs between members, so that the rule below is used whatever the input is."""

    generate_vmap_rule = False

    @staticmethod
    def forward(row: list[nn.Module], inputs: Tensor, key: Tensor, *numbers: Tensor) -> Tensor:
        raise NotImplementedError("these layers work below torch.vmap only")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Nothing is kept: the rule's own operations are."""

    @staticmethod
    def vmap(
        info: Any, places: Places, row: list[nn.Module], inputs: Tensor, key: Tensor, *numbers: Tensor
    ) -> tuple[Tensor, int]:
        size = info.batch_size
        found = _first(inputs, places[1], size)
        stacked = iter(_first(value, place, size) for value, place in zip(numbers, places[3:], strict=True))
        shape = found.shape
        found = _run(row, found.reshape(size, -1, shape[-1]), stacked)
        return found.reshape(*shape[:-1], found.shape[-1]), 0


def _run(layers: list[nn.Module], found: Tensor, stacked: Iterator[Tensor]) -> Tensor:
    """The layers of all members, one after another: `[k, N, d]` to `[k, N, e]`."""
    while layers:
        blocks: list[Block] = []
        while (share := _share_of_block(layers)) is not None:
            blocks.append(Block(cast(nn.LayerNorm, layers[1]).eps, share))
            layers = layers[4:]
        if blocks:
            numbers = tuple(islice(stacked, 4 * len(blocks)))
            found = Hidden.apply(found, blocks, *numbers)  # type: ignore[no-untyped-call]
        elif _length_of_smooth(layers):
            found, layers = _run_smooth(layers, Given(found), stacked)
        else:
            found = _once(layers[0], found, stacked)
            layers = layers[1:]
    return found


def _run_smooth(layers: list[nn.Module], source: Source, stacked: Iterator[Tensor]) -> tuple[Tensor, list[nn.Module]]:
    """What the smooth layers that come first make of a source, with the linear one behind them; and the layers left."""
    shares: list[float] = []
    while length := _length_of_smooth(layers):
        shares.append(_dropped_by(layers[2]) if length == 3 else 0.0)
        layers = layers[length:]
    more = bool(layers) and type(layers[0]) in (nn.Linear, _Alone) and layers[0]._parameters["bias"] is not None
    more = more and _share_of_block(layers) is None
    return smooth(source, shares, list(islice(stacked, 2 * (len(shares) + more)))), layers[more:]


def _share_of_block(layers: list[nn.Module]) -> float | None:
    """The share dropped, if what comes next is Linear, LayerNorm, ReLU and dropout; None otherwise."""
    if [type(layer) for layer in layers[:4]] != [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Dropout]:
        return None
    linear, norm, _, dropout = layers[:4]
    if linear._parameters["bias"] is None or norm._parameters["weight"] is None:
        return None
    share = _dropped_by(dropout)
    return share if share < 1 else None


def _length_of_smooth(layers: list[nn.Module]) -> int:
    """How many layers come next that are Linear and SiLU, and dropout if there is such; 0 where something else comes."""
    if [type(layer) for layer in layers[:2]] != [nn.Linear, nn.SiLU] or layers[0]._parameters["bias"] is None:
        return 0
    return 3 if len(layers) > 2 and type(layers[2]) is nn.Dropout and _dropped_by(layers[2]) < 1 else 2


def _dropped_by(layer: nn.Module) -> float:
    """The share that a layer of dropout drops in the mode that it is in."""
    return float(cast(nn.Dropout, layer).p) if layer.training else 0.0


def _once(layer: nn.Module, inputs: Tensor, numbers: Iterator[Tensor]) -> Tensor:
    """One layer for all members: `[k, N, d]` to `[k, N, e]`; takes its parameters `[k, ...]` off `numbers`."""
    found: Tensor
    if isinstance(layer, nn.Linear):
        weight, bias = next(numbers), None if layer._parameters["bias"] is None else next(numbers)
        found = Affine.apply(inputs, weight, bias)  # type: ignore[no-untyped-call]
        return found
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


def _first(value: Tensor, place: int | None, size: int) -> Tensor:
    """The value with the members as its first dimension."""
    return value.expand(size, *value.shape) if place is None else value.movedim(place, 0)
