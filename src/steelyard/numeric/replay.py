"""Forward-mode differentiation that uses the values of an earlier pass again.

Forward mode computes values and their derivatives side by side. Where the same pass was made before, for the gradient, the
values are known: a third of the work of its convolutions, and most of that of batch normalisation, is spared. Only what the
gradient keeps anyway is held: the results of convolutions, and of a batch normalisation its mean and scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
_kernels = torch.ops.aten


class NotTheSame(Exception):
    """The pass does not do what the recorded one did."""


class Recording(TorchFunctionMode):
    """Within it, a model's convolutions and batch normalisations are written down, in the order in which they are made.

    Attributes:
        made: what was called, its shape, and of a convolution the result with its version (which counts changes in place), of
            a batch normalisation the batch's mean and scale.

    Example:
        >>> with Recording() as record:
        ...     _ = torch.nn.Conv1d(1, 1, 1)(torch.zeros(2, 1, 3))
        >>> len(record.made)
        1
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Any, torch.Size, tuple[Tensor, int] | tuple[Tensor, Tensor]]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call, and write down."""
        given = dict(kwargs or {})
        if is_autocast(args):
            return func(*args, **given)
        if func in _CONVOLUTIONS:
            result = func(*args, **given)
            self.made.append((func, result.shape, (result.detach(), result._version)))
            return result
        if func is F.batch_norm and (named := batch_norm_of(*args, **given)) is not None:
            x, mean, variance, weight, bias, momentum, eps = named
            result, *statistics = torch.native_batch_norm(x, weight, bias, mean, variance, True, momentum, eps)
            self.made.append((func, result.shape, (statistics[0], statistics[1])))
            return result
        return func(*args, **given)


class Replaying(TorchFunctionMode):
    """Within it, what was recorded has its values from the record, and only the derivatives along dual numbers are computed.

    Args:
        record: of a pass of the same model on the same rows at the same parameters.

    Raises:
        NotTheSame: the model calls other operators than in the record, or gives them other shapes.
    """

    def __init__(self, record: Recording) -> None:
        super().__init__()
        self._made = iter(record.made)

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call, or look up."""
        given = dict(kwargs or {})
        if is_autocast(args):
            return func(*args, **given)
        if func in _CONVOLUTIONS:
            shape, (value, version) = self._next(func)
            if value._version != version:
                value = func(*(_parts(arg)[0] if isinstance(arg, Tensor) else arg for arg in args), **given)
            return _dual(value, _convolution(func, *args, **given), shape)
        if func is F.batch_norm and (named := batch_norm_of(*args, **given)) is not None:
            shape, (mean, scale) = self._next(func)
            x, _, _, weight, bias, _, eps = named
            if x.shape != shape:
                raise NotTheSame
            return _dual(normalised(x, weight, bias, mean, scale), _batch_norm(x, weight, bias, mean, scale, eps), shape)
        return func(*args, **given)

    def finish(self) -> None:
        """Check that all of the record was used."""
        if next(self._made, None) is not None:
            raise NotTheSame

    def _next(self, func: Any) -> tuple[torch.Size, Any]:
        """Shape of the next call of the record, and what was kept of it."""
        called, shape, kept = next(self._made, (None, torch.Size(), ()))
        if called is not func:
            raise NotTheSame
        return shape, kept


def _dual(value: Tensor, tangent: Tensor | None, shape: torch.Size) -> Tensor:
    if value.shape != shape or (tangent is not None and tangent.shape != shape):
        raise NotTheSame
    if tangent is None:
        return value
    dual: Tensor = forward_ad.make_dual(value, tangent)
    return dual


def is_autocast(args: Sequence[Any]) -> bool:
    """Does autocast decide how a call with these arguments is made?"""
    first = args[0] if args else None
    return isinstance(first, Tensor) and torch.is_autocast_enabled(first.device.type)


def _parts(value: Tensor | None) -> tuple[Any, Tensor | None]:
    return (None, None) if value is None else tuple(forward_ad.unpack_dual(value))


def _convolution(
    func: Callable[..., Tensor], input: Tensor, weight: Tensor, bias: Tensor | None = None, *how: Any, **named: Any
) -> Tensor | None:
    (x, dx), (w, dw), (_, db) = _parts(input), _parts(weight), _parts(bias)
    found = None if dx is None else func(dx, w, None, *how, **named)
    if dw is not None:
        more = func(x, dw, db, *how, **named)
        return more if found is None else found.add_(more)
    if db is not None:
        along = db.view(-1, *[1] * (w.ndim - 2))
        found = func(x, torch.zeros_like(w), db, *how, **named) if found is None else found.add_(along)
    return found


def batch_norm_of(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor, Tensor, float, float] | None:
    """Its arguments where it is ours to do: on the CPU (elsewhere torch has faster kernels), on a batch, with a scale."""
    if not training or weight is None or bias is None or input.device.type != "cpu" or input.numel() <= input.shape[1]:
        return None
    return input, running_mean, running_var, weight, bias, momentum, eps


def normalised(input: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """The result of a batch normalisation again, in one pass, from the batch's mean and scale.

    Args:
        input: `[N, C, ...]`.
        weight: of the layer `[C]`.
        bias: likewise.
        mean: of the batch `[C]`.
        scale: `1 / sqrt(variance + eps)` of the batch `[C]`.
    """
    x, w, b = (_parts(part)[0] for part in (input, weight, bias))
    shape = (1, -1, *[1] * (x.ndim - 2))
    gain = scale * w
    return scaled(x, gain.view(shape), (b - mean * gain).view(shape)).to(x.dtype)


def scaled(x: Tensor, gain: Tensor, level: Tensor) -> Tensor:
    """`x gain + level`, both broadcast.

    One fused operator is the slow way where both are broadcast along the innermost dimension: torch then goes entry by entry.
    """
    if x.ndim == 4 and _layout(x) == torch.channels_last:
        return torch.addcmul(level, x, gain)
    return (x * gain).add_(level)


def _batch_norm(input: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor, eps: float) -> Tensor | None:
    """The derivative is that of the backward pass, which is symmetric, and what scale and shift add."""
    (x, dx), (w, dw), (_, db) = _parts(input), _parts(weight), _parts(bias)
    found = None
    if dx is not None:
        found = _kernels.native_batch_norm_backward(
            dx.contiguous(memory_format=_layout(x)), x, w, None, None, mean, scale, True, eps, [True, False, False]
        )[0]
    if dw is None and db is None:
        return found
    gain = torch.zeros_like(w) if dw is None else scale * dw
    level = -mean * gain if db is None else db - mean * gain
    shape = (1, -1, *[1] * (x.ndim - 2))
    if found is None:
        return scaled(x, gain.view(shape), level.view(shape))
    moved: Tensor = found.add_(level.view(shape)).addcmul_(x, gain.view(shape))
    return moved


def _layout(x: Tensor) -> torch.memory_format:
    if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        return torch.channels_last
    return torch.contiguous_format
