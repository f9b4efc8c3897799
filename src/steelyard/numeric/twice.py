"""Operators that are cheap to differentiate twice.

Torch differentiates a convolution and a batch normalisation twice by general formulas: the weight's part of a convolution
becomes a convolution with an image-sized kernel, and batch normalisation some thirty passes over its input. On a ResNet-32
that is four fifths of a second-order step. Here both are written with the kernels of an ordinary backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from steelyard.numeric.directional import plain_attention
from steelyard.numeric.replay import scaled

How: TypeAlias = tuple[list[int], list[int], list[int], bool, list[int], int]
"""Stride, padding, dilation, transposed, output padding and groups, as the kernels want them."""

_CONVOLUTIONS: dict[Any, int] = {torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3}
_kernels = torch.ops.aten


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Within it, what a model computes can be differentiated twice at the cost of about two ordinary backward passes.

    Convolutions (1, 2 and 3 dimensions), batch normalisation in training mode and ReLU give the same numbers as before, and
    so do their first derivatives. Attention is done by plain matrix products, as its fused kernels have no second derivative.

    Example:
        >>> layer, images = torch.nn.Conv2d(1, 1, 3), torch.ones(1, 1, 4, 4)
        >>> with twice_differentiable():
        ...     value = layer(images).pow(3).sum()
        >>> first = torch.autograd.grad(value, layer.bias, create_graph=True)[0]
        >>> bool(torch.autograd.grad(first, layer.bias)[0].isfinite())
        True
    """
    with plain_attention(), _Replacing():
        yield


class _Replacing(TorchFunctionMode):
    """Puts our operators where a model calls torch's."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        ours: Callable[..., Tensor | None] | None = None
        if func in _CONVOLUTIONS:
            ours = _convolution
        elif func is F.batch_norm:
            ours = _batch_norm
        elif func in (F.relu, torch.relu):
            ours = _relu
        result = None if ours is None else ours(*args, **given)
        return func(*args, **given) if result is None else result


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """Our convolution, or None where it is torch's business: one image without a batch, or padding by name."""
    if isinstance(padding, str) or input.ndim != weight.ndim:
        return None
    sides = weight.ndim - 2
    how: How = (_each(stride, sides), _each(padding, sides), _each(dilation, sides), False, [0] * sides, groups)
    given = [None if value is None else autocast(value) for value in (input, weight, bias)]
    result: Tensor = _Convolution.apply(*given, how)  # type: ignore[no-untyped-call]
    return result


def _each(value: Any, sides: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * sides if len(values) == 1 else values


def autocast(value: Tensor) -> Tensor:
    """What autocast would hand to the kernel; it does not look into our operators."""
    kind = value.device.type
    if torch.is_autocast_enabled(kind) and value.is_floating_point() and value.dtype != torch.float64:
        return value.to(torch.get_autocast_dtype(kind))
    return value


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """Our batch normalisation, or None where it is torch's business: fixed statistics, no scale, or one value a channel."""
    if not training or weight is None or bias is None or input.numel() <= input.shape[1]:
        return None
    result: Tensor = _BatchNorm.apply(  # type: ignore[no-untyped-call]
        input, weight, bias, running_mean, running_var, momentum, eps
    )
    return result


def _relu(input: Tensor, inplace: bool = False) -> Tensor | None:
    if inplace and (input._is_view() or input.is_leaf):
        return None
    result: Tensor = _ReLU.apply(input, inplace)  # type: ignore[no-untyped-call]
    return result


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, how: How) -> Any:
        ctx.save_for_backward(x, weight)
        ctx.how, ctx.bias = how, None if bias is None else list(bias.shape)
        return _kernels.convolution(x, weight, bias, *how)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[:3])
        return *_ConvolutionBackward.apply(grad, x, weight, ctx.bias, ctx.how, wanted), None  # type: ignore[no-untyped-call]


class _ConvolutionBackward(Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, x: Tensor, weight: Tensor, bias: Any, how: How, wanted: list[bool]) -> Any:
        ctx.save_for_backward(grad, x, weight)
        ctx.how = how
        ctx.set_materialize_grads(False)
        return _kernels.convolution_backward(grad, x, weight, bias, *how, wanted)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, on_x: Tensor | None, on_weight: Tensor | None, on_bias: Tensor | None) -> Any:
        grad, x, weight = ctx.saved_tensors
        by_grad = None
        if on_x is not None:
            by_grad = _kernels.convolution(on_x, weight, on_bias, *ctx.how)
            on_bias = None
        if on_weight is not None:
            other = _kernels.convolution(x, on_weight, on_bias, *ctx.how)
            by_grad = other if by_grad is None else by_grad.add_(other)
        elif on_bias is not None:
            by_grad = on_bias.view(-1, *[1] * (x.ndim - 2)).expand_as(grad)
        # Of the two products only the arguments that carry no cotangent get a derivative: that is one ordinary backward pass.
        wanted = [ctx.needs_input_grad[1] and on_weight is not None, ctx.needs_input_grad[2] and on_x is not None, False]
        by_x = by_weight = None
        if any(wanted):
            by_x, by_weight, _ = _kernels.convolution_backward(
                grad, x if on_x is None else on_x, weight if on_weight is None else on_weight, None, *ctx.how, wanted
            )
        return by_grad, by_x, by_weight, None, None, None


class _BatchNorm(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Any, variance: Any, momentum: float, eps: float
    ) -> Any:
        result, mean, scale = _kernels.native_batch_norm(x, weight, bias, mean, variance, True, momentum, eps)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.eps = eps
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        found = _BatchNormBackward.apply(grad, *ctx.saved_tensors, ctx.eps)  # type: ignore[no-untyped-call]
        return *found, None, None, None, None


class _BatchNormBackward(Function):
    """The gradients, as a function of their own.

    Of a channel with n values x, mean m, scale r = 1 / sqrt(variance + eps) and z = (x - m) r:

    gx = weight r (g - mean(g) - z mean(g z)),    gw = n mean(g z),    gb = n mean(g)
    """

    @staticmethod
    def forward(ctx: Any, grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, eps: float) -> Any:
        by_x, by_weight, by_bias = _batch_norm_backward(grad, x, weight, mean, scale, eps)
        ctx.save_for_backward(grad, x, weight, mean, scale, by_weight, by_bias)
        ctx.eps = eps
        return by_x, by_weight, by_bias

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, on_x: Tensor, on_weight: Tensor, on_bias: Tensor) -> Any:
        grad, x, weight, mean, scale, grad_z, grad_1 = ctx.saved_tensors
        n = x.numel() // x.shape[1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        _, on_z, on_1 = _batch_norm_backward(on_x, x, weight, mean, scale, ctx.eps, [False, True, True])
        nothing, one = torch.zeros_like(mean), torch.ones_like(mean)
        product = _batch_norm_backward(grad, on_x, weight, nothing, one, ctx.eps, [False, True, False])[1]
        gain = weight * scale
        # The map g -> gx is symmetric, so it takes the cotangent of gx back to g: gain (on_x - mean(on_x) - z mean(on_x z)).
        c, d = on_weight - gain * on_z / n, -gain * grad_z / n
        slope = c * scale
        by_grad = scaled(on_x, gain.view(shape), (on_bias - gain * on_1 / n - slope * mean).view(shape))
        by_grad = by_grad.addcmul_(x, slope.view(shape)).to(grad.dtype)
        # <on_x, gx> = weight r n q; z moves with x by r (h - mean(h) - z mean(h z)), r by -r^2 z / n.
        q = (product - (on_1 * grad_1 + on_z * grad_z) / n) / n
        # Here h = c g + d on_x.
        tilt = -scale * scale * ((c * grad_z + d * on_z) / n + gain * q)
        level = -scale * (c * grad_1 + d * on_1) / n - tilt * mean
        by_x = scaled(x, tilt.view(shape), level.view(shape))
        by_x = by_x.addcmul_(grad, (scale * c).view(shape)).addcmul_(on_x, (scale * d).view(shape)).to(x.dtype)
        return by_grad, by_x, scale * n * q, None, None, None


def _batch_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, eps: float, wanted: list[bool] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    wanted = [True, True, True] if wanted is None else wanted
    found: tuple[Tensor, Tensor, Tensor] = _kernels.native_batch_norm_backward(
        grad, x, weight, None, None, mean, scale, True, eps, wanted
    )
    return found


class _ReLU(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, inplace: bool) -> Any:
        result = _kernels.relu_(x) if inplace else _kernels.relu(x)
        if inplace:
            ctx.mark_dirty(x)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (result,) = ctx.saved_tensors
        return _ReLUBackward.apply(grad, result), None  # type: ignore[no-untyped-call]


class _ReLUBackward(Function):
    """Linear in the gradient, and constant in the input almost everywhere."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, result: Tensor) -> Any:
        ctx.save_for_backward(result)
        return _kernels.threshold_backward(grad, result, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, on_grad: Tensor) -> Any:
        (result,) = ctx.saved_tensors
        return _kernels.threshold_backward(on_grad, result, 0), None
