"""Cross-entropy of affinely changed logits, row by row: what every softmax loss of the package is made of.

With `a = scale * z + shift - margin * onehot(y)` and `t = (1 - smoothing) * onehot(y) + smoothing / C`,

    affine_nll(z, y)_i = logsumexp_j(a_ij) - sum_j t_ij a_ij

Written with plain tensor functions this reads and writes the `[N, C]` matrix several times more than
`F.cross_entropy` does. On the CPU large matrices therefore go through `FusedNll`, which makes and keeps nothing of
that size but the softmax; everything else takes `plain_nll`, which is also its reference.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function, forward_ad

FUSE_FROM = 1 << 20
"""Matrices with at least this many entries are fused: below, the fixed cost of a step counts for more than memory."""

STEEP = 16.0
"""Scales above this make enough subnormal exponentials, of ordinary logits, to be worth removing them."""

NARROW = 64 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 32
"""Bytes of a row below which torch's softmax on the CPU takes one number at a time."""
WORTH = 2048
"""Entries from which on such a matrix is worth turning over."""

Scale: TypeAlias = "Tensor | float | None"


def affine_nll(
    logits: Tensor,
    target: Tensor,
    *,
    scale: Scale = None,
    shift: Tensor | None = None,
    margin: Tensor | None = None,
    smoothing: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of each row after an affine change of its logits, `[N]`.

    Args:
        logits: `[N, C]`, float32 or float64.
        target: `[N]`, int64.
        scale: multiplies the logits: a number, or one a row `[N]`.
        shift: added to each row `[C]`; -inf takes a class out of the softmax (not together with `smoothing`).
        margin: taken from the true class's logit after scaling `[N]`.
        smoothing: part of the target spread evenly over all classes `[N]`, in [0, 1).

    Example:
        >>> affine_nll(torch.zeros(1, 2), torch.tensor([0]), shift=torch.tensor([0.0, math.log(3.0)])).exp()
        tensor([4.])
    """
    constants = (scale, shift, margin, smoothing)
    if all(constant is None for constant in constants):
        return cross_entropy(logits, target)
    if _fusible(logits, constants):
        return fused_nll(logits, target, *constants)
    return plain_nll(logits, target, *constants)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """`F.cross_entropy(logits, target, reduction="none")`, faster for many rows of few classes on the CPU, `[N]`.

    Example:
        >>> cross_entropy(torch.zeros(2000, 2), torch.zeros(2000, dtype=torch.int64)).exp()[:3]
        tensor([2., 2., 2.])
    """
    return F.nll_loss(log_softmax(logits), target, reduction="none")


def log_softmax(logits: Tensor) -> Tensor:
    """`F.log_softmax(logits, 1)`: on the CPU that of long columns is faster than that of many short rows.

    Example:
        >>> log_softmax(torch.zeros(2000, 2)).exp()[0]
        tensor([0.5000, 0.5000])
    """
    rows, classes = logits.shape
    if logits.device.type != "cpu" or classes * logits.element_size() >= NARROW or rows * classes < WORTH:
        return F.log_softmax(logits, 1)
    if logits.requires_grad and torch.is_grad_enabled():
        columns = logits.t().contiguous()  # costs nothing on the way back
    else:
        columns = torch.stack(logits.unbind(1))  # is several times as fast
    return F.log_softmax(columns, 0).t()


def _fusible(logits: Tensor, constants: tuple[Tensor | float | None, ...]) -> bool:
    """Is fusing worth it, and are derivatives asked for by the logits only, and backwards?

    Forward mode goes through the plain composition: a custom function's jvp is silently wrong when nested (torch 2.13).
    """
    return (
        logits.device.type == "cpu"
        and logits.numel() >= FUSE_FROM
        and getattr(forward_ad, "_current_level", 0) < 0
        and not torch.compiler.is_compiling()
        and not any(isinstance(constant, Tensor) and constant.requires_grad for constant in constants)
    )


def plain_nll(
    logits: Tensor,
    target: Tensor,
    scale: Scale = None,
    shift: Tensor | None = None,
    margin: Tensor | None = None,
    smoothing: Tensor | None = None,
) -> Tensor:
    """`affine_nll` as a composition of plain functions; differentiable in everything. `[N]`."""
    scores = _scores(logits, target, scale, shift, margin)
    if smoothing is None:
        return cross_entropy(scores, target)
    log_p = log_softmax(scores)
    true = log_p.gather(1, target[:, None]).squeeze(1)
    return -((1 - smoothing) * true + smoothing * log_p.mean(1))


def fused_nll(
    logits: Tensor,
    target: Tensor,
    scale: Scale = None,
    shift: Tensor | None = None,
    margin: Tensor | None = None,
    smoothing: Tensor | None = None,
) -> Tensor:
    """`affine_nll` through the fused kernel; differentiable in the logits only, backwards, to any order. `[N]`."""
    outputs = FusedNll.apply(logits, target, scale, shift, margin, smoothing)  # type: ignore[no-untyped-call]
    values: Tensor = outputs[0]
    return values


def _scores(logits: Tensor, target: Tensor, scale: Scale, shift: Tensor | None, margin: Tensor | None) -> Tensor:
    """The changed logits `[N, C]`."""
    scores = logits
    if scale is not None:
        scores = scores * _column(scale)
    if shift is not None:
        scores = scores + shift
    if margin is not None:
        scores = scores.scatter_add(1, target[:, None], -margin[:, None])
    return scores


def _column(scale: Tensor | float) -> Tensor | float:
    return scale[:, None] if isinstance(scale, Tensor) else scale


class FusedNll(Function):
    """`(values [N], softmax [N, C])` of the changed logits.

    The softmax is an output, not a hidden buffer, so that backward is an ordinary expression in it, which can itself be
    differentiated and mapped.
    """

    @staticmethod
    def forward(
        logits: Tensor,
        target: Tensor,
        scale: Scale,
        shift: Tensor | None,
        margin: Tensor | None,
        smoothing: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Values and softmax; the changed logits are written where the softmax then takes their place."""
        column = target[:, None]
        scores = _write_scores(logits, column, scale, shift, margin)
        true = scores.gather(1, column).squeeze(1)
        mean = None if smoothing is None else scores.mean(1)
        top = _raise_the_lowest(scores) if scale is not None and _is_steep(scale) else None
        p = torch.softmax(scores, 1) if scores is logits else torch.softmax(scores, 1, out=scores)
        if top is None:
            probability = p.gather(1, column).squeeze(1)
            values = -probability.log()
            # A probability that is no normal number has lost its logarithm: those few rows take the plain way.
            lost = (probability < torch.finfo(p.dtype).tiny).nonzero().squeeze(1)
            if lost.numel():
                few = scale[lost] if isinstance(scale, Tensor) else scale
                values[lost] = plain_nll(logits[lost], target[lost], few, shift, None if margin is None else margin[lost])
        else:
            # The highest probability is 1 / sum_j exp(a_j - top).
            values = top - true - p.amax(1).log_()
        if smoothing is not None and mean is not None:
            values += smoothing * (true - mean)
        return values, p

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Keep the target, the softmax and the small constants."""
        _, target, scale, _, _, smoothing = inputs
        ctx.number = None if isinstance(scale, Tensor) else scale
        ctx.save_for_backward(target, output[1], scale if isinstance(scale, Tensor) else None, smoothing)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """`scale * (grad * (p - t) + p * (grad_p - <p, grad_p>))`."""
        target, p, scale, smoothing = ctx.saved_tensors
        scale = ctx.number if scale is None else scale
        grad, grad_p = grads
        result = None
        if grad is not None:
            grad = grad if scale is None else grad * scale
            result = _times_residual(grad, p, target, smoothing)
        if grad_p is not None:
            through = p * (grad_p - (p * grad_p).sum(1, keepdim=True))
            through = through if scale is None else through * _column(scale)
            result = through if result is None else result + through
        return result, None, None, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        """Mapped calls are composed of plain functions: a map over small batches has no use for blocks."""

        def one(
            logits: Tensor, target: Tensor, scale: Scale, shift: Tensor | None, margin: Tensor | None, smoothing: Tensor | None
        ) -> tuple[Tensor, Tensor]:
            p = torch.softmax(_scores(logits, target, scale, shift, margin), 1)
            return plain_nll(logits, target, scale, shift, margin, smoothing), p

        return torch.vmap(one, in_dims=in_dims)(*args), (0, 0)


def _write_scores(logits: Tensor, column: Tensor, scale: Scale, shift: Tensor | None, margin: Tensor | None) -> Tensor:
    """The changed logits in a new contiguous matrix; the logits themselves where nothing changes them."""
    if scale is None and shift is None and margin is None:
        return logits
    scores = torch.empty_like(logits, memory_format=torch.contiguous_format)
    if scale is not None:
        torch.mul(logits, _column(scale), out=scores)
        if shift is not None:
            scores.add_(shift)
    elif shift is not None:
        torch.add(logits, shift, out=scores)
    else:
        scores.copy_(logits)
    return scores if margin is None else scores.scatter_add_(1, column, -margin[:, None])


def _is_steep(scale: Tensor | float) -> bool:
    return bool((scale > STEEP).any()) if isinstance(scale, Tensor) else scale > STEEP


def _raise_the_lowest(scores: Tensor) -> Tensor:
    """Raise scores whose probability would be subnormal to the least that is not, in place; returns the tops `[N]`.

    A large scale (LDAM's 30) makes many of them, and the processor is an order of magnitude slower on subnormal numbers.
    No probability changes by more than the smallest normal number of the dtype: 1.2e-38 in float32.
    """
    top = scores.amax(1)
    reach = -math.log(torch.finfo(scores.dtype).tiny * scores.shape[1])
    torch.maximum(scores, (top - reach)[:, None], out=scores)
    return top


def _times_residual(grad: Tensor, p: Tensor, target: Tensor, smoothing: Tensor | None) -> Tensor:
    """`grad_i * (p_ij - t_ij)`, `[N, C]`: few passes over p and a touch of the true classes."""
    result, spike = p * grad[:, None], grad
    if smoothing is not None:
        floor = grad * smoothing
        result, spike = result.sub_(floor[:, None] / p.shape[1]), grad - floor
    return result.scatter_add_(1, target[:, None], -spike[:, None])
