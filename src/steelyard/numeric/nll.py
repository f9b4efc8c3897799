"""Cross-entropy of affinely changed logits, row by row: what every softmax loss of the package is made of.

With `a = scale * z + shift - margin * onehot(y)` and `t = (1 - smoothing) * onehot(y) + smoothing / C`,

    affine_nll(z, y)_i = logsumexp_j(a_ij) - sum_j t_ij a_ij

Written with plain tensor functions this reads and writes the `[N, C]` matrix several times more than
`F.cross_entropy` does. On the CPU large matrices therefore go through `FusedNll`, which works on blocks of rows that
stay in the cache and writes nothing but the softmax; everything else takes `plain_nll`, which is also its reference.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function, forward_ad

FUSE_FROM = 1 << 17
"""Matrices with at least this many entries are fused: below, the fixed cost of a step counts for more than memory."""

BLOCK = 1 << 20
"""Entries of a block, for each thread: few enough to stay in the cache, many enough that the loop over blocks costs nothing."""

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
        return F.cross_entropy(logits, target, reduction="none")
    if _fusible(logits, constants):
        return fused_nll(logits, target, *constants)
    return plain_nll(logits, target, *constants)


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
        return F.cross_entropy(scores, target, reduction="none")
    log_p = F.log_softmax(scores, 1)
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
    values: Tensor = FusedNll.apply(logits, target, scale, shift, margin, smoothing)[0]
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
        """Values and softmax; nothing of size `[N, C]` is written but the softmax, block by block and in its own place."""
        rows, classes = logits.shape
        size = max(1, BLOCK * torch.get_num_threads() // classes)
        column = target[:, None]
        p = torch.empty_like(logits, memory_format=torch.contiguous_format)
        mean = None if smoothing is None else logits.new_empty(rows)
        changed = any(constant is not None for constant in (scale, shift, margin))
        for start in range(0, rows, size):
            part = slice(start, min(start + size, rows))
            scores = _write_scores(p[part], logits, column, part, scale, shift, margin) if changed else logits[part]
            if mean is not None:
                torch.mean(scores, 1, out=mean[part])
            if scale is not None:
                _flush(scores)
            torch.softmax(scores, 1, out=p[part])
        true = p.gather(1, column).squeeze(1)
        values = -true.log()
        # A probability that is no normal number has lost its logarithm: those few rows take the plain way.
        lost = (true < torch.finfo(true.dtype).tiny).nonzero().squeeze(1)
        if lost.numel():
            own_scale = scale[lost] if isinstance(scale, Tensor) else scale
            own_margin = None if margin is None else margin[lost]
            values[lost] = plain_nll(logits[lost], target[lost], own_scale, shift, own_margin)
        if smoothing is not None and mean is not None:
            values += smoothing * (_true_scores(logits, column, scale, shift, margin) - mean)
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


def _write_scores(
    scores: Tensor,
    logits: Tensor,
    column: Tensor,
    part: slice,
    scale: Scale,
    shift: Tensor | None,
    margin: Tensor | None,
) -> Tensor:
    """The changed logits of a block, written to `scores`."""
    if scale is not None:
        torch.mul(logits[part], scale[part, None] if isinstance(scale, Tensor) else scale, out=scores)
        if shift is not None:
            scores.add_(shift)
    elif shift is not None:
        torch.add(logits[part], shift, out=scores)
    else:
        scores.copy_(logits[part])
    if margin is not None:
        scores.scatter_add_(1, column[part], -margin[part, None])
    return scores


def _true_scores(logits: Tensor, column: Tensor, scale: Scale, shift: Tensor | None, margin: Tensor | None) -> Tensor:
    """The changed logit of each row's true class `[N]`."""
    true = logits.gather(1, column).squeeze(1)
    if scale is not None:
        true = true * scale
    if shift is not None:
        true = true + shift[column.squeeze(1)]
    return true if margin is None else true - margin


def _flush(scores: Tensor) -> None:
    """Take the top from scaled scores and drop those whose exponential would be subnormal.

    A large scale (LDAM's 30) makes many of them, and the processor is an order of magnitude slower on subnormal numbers.
    What is dropped is a probability below the smallest normal number of the dtype: 1.2e-38 in float32.
    """
    scores.sub_(scores.amax(1, keepdim=True))
    F.threshold(scores, math.log(torch.finfo(scores.dtype).tiny), -math.inf, inplace=True)


def _times_residual(grad: Tensor, p: Tensor, target: Tensor, smoothing: Tensor | None) -> Tensor:
    """`grad_i * (p_ij - t_ij)`, `[N, C]`, in one pass over p and a touch of the true classes."""
    if smoothing is None:
        result, spike = p * grad[:, None], grad
    else:
        floor = grad * smoothing
        result = torch.addcmul(-floor[:, None] / p.shape[1], p, grad[:, None])
        spike = grad - floor
    return result.scatter_add_(1, target[:, None], -spike[:, None])
