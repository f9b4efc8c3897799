"""Several models of one architecture as one module: their weights stacked, their forward passes made at once."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from steelyard.core.errors import ArgumentError
from steelyard.core.stacked_layers import for_many, goes_without_map, is_fast
from steelyard.numeric.nll import log_softmax

EVERY = slice(None)


class Members(nn.Module):
    """Models of one architecture, stacked; what is judged is the mean of their probabilities.

    Parameters and buffers are those of the models with a first dimension more, `[k, ...]`, under the same names. So an
    optimiser that works number by number (SGD, AdamW) trains each member as it would alone. The forward pass is that of
    `torch.func.vmap`: whatever the architecture, if it has no branch on values. No two members drop the same.
    Where it cannot be mapped, or models with the same weights have other settings (a temperature that is no buffer, say),
    evaluation falls back to one member after another; training does not.

    Args:
        models: at least one, with parameters and buffers of the same names and shapes. Copied.

    Shapes:
        inputs as those of a model; `forward` gives log-probabilities `[N, C]`, `each` logits `[k, N, C]`.

    Raises:
        ArgumentError: no model, or models whose numbers have other names or shapes.

    Example:
        >>> members = Members([nn.Linear(3, 2), nn.Linear(3, 2)])
        >>> members.each(torch.zeros(5, 3)).shape, members(torch.zeros(5, 3)).exp().sum(1)
        (torch.Size([2, 5, 2]), tensor([1., 1., 1., 1., 1.], grad_fn=<SumBackward1>))
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        _check_same(models)
        first = models[0]
        self._count = len(models)
        each, lasting = [_numbers(model) for model in models], first.state_dict()
        for name, value in each[0].items():
            stacked = torch.stack([own[name].detach() for own in each])
            if isinstance(value, nn.Parameter):
                stacked = nn.Parameter(stacked, requires_grad=value.requires_grad)
            _put(self, name, stacked, persistent=name in lasting)
        # Layers without numbers. They stand in no registry: neither their weights nor their hooks are this module's.
        alike = all(_settings(model) == _settings(first) for model in models)
        self._bare: tuple[nn.Module, ...] = tuple(_emptied(model) for model in (models[:1] if alike else models))
        self._mapping: tuple[nn.Module, ...] = (for_many(copy.deepcopy(self._bare[0])),) if alike else ()
        self._numbers = [_Number(name, self, layers) for layers in self._mapping for name in each[0]]
        self._direct = all(goes_without_map(layers) for layers in self._mapping)
        self._alike: dict[str, tuple[int, int, bool]] = {}
        self.train(first.training)

    def __len__(self) -> int:
        """Members."""
        return self._count

    def forward(self, inputs: Any) -> Tensor:
        """The logarithm of the mean probability `[N, C]`."""
        return mean_of(self.each(inputs))

    def each(self, inputs: Any, only: slice = EVERY) -> Tensor:
        """Logits of each member `[k, N, C]`.

        Args:
            inputs: as a model takes them.
            only: members wanted, such as `slice(1, None, 5)`.
        """
        for bare in (*self._bare, *self._mapping):
            if bare.training != self.training:
                bare.train(self.training)
        if self.training:
            return self._mapped(inputs, only)
        if self._mapping:
            with suppress(RuntimeError, NotImplementedError, ValueError):  # errors of the inputs come again below
                return self._mapped(inputs, only)
        wanted = range(self._count)[only]
        return torch.stack([functional_call(self._layers(j), self._state(j), (inputs,)) for j in wanted])

    def member(self, number: int) -> nn.Module:
        """A copy of one member as a model of its own.

        Args:
            number: from 0, or from -1 backwards.
        """
        number = range(self._count)[number]
        state, model = self._state(number), copy.deepcopy(self._layers(number))
        _refill(model, {name: value.detach().clone() for name, value in state.items()})
        for name, value in model.named_parameters():
            value.requires_grad_(self.get_parameter(name).requires_grad)
        return model.train(self.training)

    @torch.no_grad()
    def copy_to(self, models: Sequence[nn.Module]) -> None:
        """Write each member's numbers into a model of the same architecture."""
        held = _numbers(self)
        for number, model in enumerate(models):
            for name, value in _numbers(model).items():
                value.copy_(held[name][number])

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all members."""
        super().train(mode)
        for bare in (*self._bare, *self._mapping):
            bare.train(mode)
        return self

    @property
    def layers(self) -> nn.Module:
        """The layers of a member without its numbers: what there is, under the names of the numbers here."""
        return self._bare[0]

    @property
    def alike(self) -> bool:
        """Do the members have the same settings, so that they can be trained at once?"""
        return bool(self._mapping)

    @property
    def goes_side_by_side(self) -> bool:
        """Does all of the work, in float32 on the CPU, go to layers that share members between threads?"""
        return len(self) > 1 and self._direct and all(is_fast(value) for value in self.parameters())

    def keeps_statistics(self) -> bool:
        """Is there a layer that normalises over the batch and keeps running statistics of it in this mode?"""
        return any(_has_statistics(layer) and layer.training for layer in self._bare[0].modules())

    def _layers(self, number: int) -> nn.Module:
        """A member's layers, without its numbers."""
        return self._bare[number if len(self._bare) > 1 else 0]

    def _state(self, number: int) -> dict[str, Tensor]:
        return {name: value[number] for name, value in _numbers(self).items()}

    def _mapped(self, inputs: Any, only: slice) -> Tensor:
        values: list[Tensor] = []
        places: list[int | None] = []
        shared: list[tuple[Tensor, int]] = []
        for number in self._numbers:
            value = number.stacked()
            if number.buffer and self._is_alike(number, value):  # constants such as bin edges: once instead of k times
                shared.append((value, value._version))
                values.append(value[0])
                places.append(None)
            else:
                values.append(value if only == EVERY else value[only])
                places.append(0)

        def score(*own: Tensor) -> Tensor:
            # What functional_call does, without looking for names at every step.
            before = [number.put(value) for number, value in zip(self._numbers, own, strict=True)]
            try:
                logits: Tensor = self._mapping[0](inputs)
            finally:
                for number, value in zip(self._numbers, before, strict=True):
                    number.put(value)
            return logits

        direct = self._direct and all(
            (place is None) == number.buffer for number, place in zip(self._numbers, places, strict=True)
        )
        if direct and all(is_fast(value) for value in (*_floating(inputs), *values) if value.is_floating_point()):
            logits = score(*values)
        else:
            logits = vmap(score, in_dims=tuple(places), randomness="different")(*values)
        for value, version in shared:
            if value._version != version:  # a counter, say: the same for all
                with torch.no_grad():
                    value.copy_(value[:1].expand_as(value))
        return logits

    def _is_alike(self, number: _Number, value: Tensor) -> bool:
        """Is this buffer the same for all members? Asked again only where it has changed."""
        if number.statistics:  # of what a member has seen
            return False
        now = (id(value), value._version)
        known = self._alike.get(number.name)
        if known is None or known[:2] != now:
            known = self._alike[number.name] = (*now, bool((value == value[:1]).all()))
        return known[2]

    def extra_repr(self) -> str:
        """Shown by print(members)."""
        return f"{self._count} x {type(self._bare[0]).__name__}"


class _Number:
    """A parameter or buffer: where the stacked one is, and the places in the layers that want it while they run."""

    def __init__(self, name: str, members: nn.Module, layers: nn.Module) -> None:
        path, _, self.leaf = name.rpartition(".")
        self.name, self.owner = name, members.get_submodule(path)
        self.buffer = self.leaf in self.owner._buffers
        self.statistics = _has_statistics(layers.get_submodule(path))
        wanted = _numbers(layers)[name]
        self.places = [
            (layer, leaf)
            for layer in layers.modules()
            for leaf, value in (layer._buffers if self.buffer else layer._parameters).items()
            if value is wanted
        ]

    def stacked(self) -> Tensor:
        """`[k, ...]`."""
        held = self.owner._buffers if self.buffer else self.owner._parameters
        return cast(Tensor, held[self.leaf])

    def put(self, value: Tensor) -> Tensor:
        """Give the layers a value; returns the one that they had."""
        before: Tensor | None = None
        for layer, leaf in self.places:
            held = cast("dict[str, Tensor]", layer._buffers if self.buffer else layer._parameters)
            before, held[leaf] = held[leaf], value
        assert before is not None
        return before


def mean_of(logits: Tensor) -> Tensor:
    """`log mean_k softmax(z_k)`, `[N, C]`, from logits `[k, N, C]`.

    Example:
        >>> mean_of(torch.tensor([[[0.0, 0.0]], [[9.0, -99.0]]])).exp()
        tensor([[0.7500, 0.2500]])
    """
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    scores = log_softmax(logits.flatten(0, -2)).view(logits.shape)
    if len(scores) == 1:
        return scores[0].contiguous()
    less = math.log(len(scores))
    if scores.stride(-1) > 1:  # columns lie in one piece: so summing is quick
        return (torch.logsumexp(scores.movedim(-1, 0), 1) - less).movedim(0, -1).contiguous()
    return torch.logsumexp(scores, 0) - less


class _Share(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a factor for each member."""

    # In one method: where `setup_context` stands alone, torch asks for the signature of `forward` at every call.
    @staticmethod
    def forward(ctx: Any, logits: Tensor, factor: Tensor | float) -> Tensor:
        ctx.factor = factor
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        factor = ctx.factor
        if isinstance(factor, Tensor):
            factor = factor.to(grads[0].dtype).reshape(-1, *[1] * (grads[0].ndim - 1))
        return grads[0] * factor, None


def scaled_gradient(logits: Tensor, factor: Tensor | float) -> Tensor:
    """Logits `[k, ...]` as they are; on the way back the gradient of member j is multiplied by `factor[j]`, or by a number.

    Example:
        >>> logits = torch.zeros(2, 1, requires_grad=True)
        >>> scaled_gradient(logits, torch.tensor([1.0, 3.0])).sum().backward()
        >>> logits.grad.flatten()
        tensor([1., 3.])
    """
    scaled: Tensor = _Share.apply(logits, factor)  # type: ignore[no-untyped-call]
    return scaled


def judged_of(trained: Members, sent: Sequence[nn.Module], judged: Sequence[nn.Module]) -> Members:
    """The judged models as members that hold the very tensors of the trained ones where a judged model wraps its trained one.

    Args:
        trained: what was trained.
        sent: its members, as a method was sent them.
        judged: what the method made of them; its changes to the weights of `sent` are written back.
    """
    found = trained if all(own is made for own, made in zip(sent, judged, strict=True)) else Members(judged)
    held, changed = _numbers(trained), [_numbers(model) for model in sent]
    with torch.no_grad():
        for name, value in held.items():
            value.copy_(torch.stack([own[name].detach() for own in changed]))
    if found is trained:
        return trained
    names = {id(value): name for name, value in changed[0].items()}
    lasting = found.state_dict()
    for name, value in _numbers(judged[0]).items():
        if id(value) in names:
            _put(found, name, held[names[id(value)]], persistent=name in lasting)
    return found


def _check_same(models: Sequence[nn.Module]) -> None:
    if not models:
        raise ArgumentError("models", "at least one model", "none")
    shapes = [[(name, value.shape, value.dtype) for name, value in _numbers(model).items()] for model in models]
    for number, own in enumerate(shapes):
        if own != shapes[0]:
            expected = "models of one architecture, with parameters and buffers of the same names and shapes"
            raise ArgumentError("models", expected, f"that model {number} differs from model 0")


def _floating(inputs: Any) -> list[Tensor]:
    """The tensors of inputs that are not whole numbers."""
    if isinstance(inputs, Tensor):
        return [inputs] if inputs.is_floating_point() else []
    return [value for own in inputs.values() for value in _floating(own)]


def _settings(model: nn.Module) -> list[tuple[Any, ...]]:
    """What a model is beside its numbers, as far as it shows it."""
    flags = [(name, value.requires_grad) for name, value in model.named_parameters()]
    return [(name, type(layer), layer.extra_repr(), layer.training) for name, layer in model.named_modules()] + flags


def _emptied(model: nn.Module) -> nn.Module:
    """A copy without numbers."""
    bare = copy.deepcopy(model)
    _refill(bare, {name: value.detach().to("meta") for name, value in _numbers(bare).items()})
    return bare


def _put(root: nn.Module, name: str, value: Tensor, *, persistent: bool = True) -> None:
    """Register a parameter or buffer under a dotted name."""
    *path, leaf = name.split(".")
    for part in path:
        if part not in root._modules:
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    if isinstance(value, nn.Parameter):
        root.register_parameter(leaf, value)
    else:
        root.register_buffer(leaf, value, persistent=persistent)


def _has_statistics(layer: nn.Module) -> bool:
    return layer._buffers.get("running_mean") is not None


def _numbers(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, each once."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _refill(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Put other numbers in the place of a model's own, by name; what was tied stays tied."""
    fresh: dict[int, Tensor] = {}
    for name, value in _numbers(model).items():
        new = values[name]
        fresh[id(value)] = nn.Parameter(new, requires_grad=value.requires_grad) if isinstance(value, nn.Parameter) else new
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for leaf, value in held.items():  # type: ignore[assignment]
                if value is not None:
                    held[leaf] = fresh[id(value)]  # type: ignore[assignment]
