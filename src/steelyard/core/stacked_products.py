"""Matrix products of several members, forward and back: by the kernel that is fastest for their sizes."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from steelyard.core.side_by_side import Compiled, has_threads, side_by_side

LEAST = 1 << 19
"""Multiplications of one member's product from which on oneDNN's kernel is worth its call."""
NEVER = 1 << 62


@cache
def least() -> int:
    """Multiplications of a product from which on `multiply` calls oneDNN; more than there can be where this torch has none.

    Its `inputs @ weight.T + bias` in float32 is that which `torch.compile` uses, too. `torch.mm` and `torch.bmm` call another
    library, which on processors not of its maker's leaves half of the speed unused.
    """
    if not torch.backends.mkldnn.is_available():
        return NEVER
    try:
        found = torch.ops.mkldnn._linear_pointwise(torch.ones(3, 2), torch.ones(4, 2), torch.ones(4), "none", [], "")
    except (AttributeError, RuntimeError, TypeError):  # it is no public function, and may change
        return NEVER
    return LEAST if torch.equal(found, torch.full((3, 4), 3.0)) else NEVER


def multiply(inputs: Tensor, weight: Tensor, bias: Tensor | None, enough: int) -> Tensor:
    """`inputs [N, i] @ weight [o, i].T + bias [o]` of one member; `enough` is `least()`. For TorchScript, too.

    Example:
        >>> multiply(torch.ones(2, 3), torch.ones(1, 3), torch.ones(1), least())
        tensor([[4.],
                [4.]])
    """
    if inputs.size(0) * weight.numel() >= enough and inputs.dtype == torch.float32:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
        return found
    return F.linear(inputs, weight, bias)


def weight_gradient(grad: Tensor, inputs: Tensor, enough: int) -> Tensor:
    """`grad [N, o].T @ inputs [N, i]` of one member; made so that the longer side is that of the rows of the second factor."""
    if inputs.size(1) < grad.size(1):
        return multiply(inputs.t(), grad.t(), None, enough).t()
    return multiply(grad.t(), inputs.t(), None, enough)


class Affine(torch.autograd.Function):
    """`inputs [k, N, i] @ weight [k, o, i].T + bias [k, o]` for all members."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`[k, N, o]`."""
        ctx.save_for_backward(inputs, weight)
        ctx.biased, enough = bias is not None, least()
        if _is_small(inputs, weight):
            across = weight.transpose(1, 2)
            return torch.bmm(inputs, across) if bias is None else torch.baddbmm(bias.unsqueeze(1), inputs, across)
        found = inputs.new_empty(*inputs.shape[:2], weight.shape[1])
        side_by_side(lambda first, last: _forward(inputs, weight, bias, found, first, last, enough), len(found))
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Of those that somebody asks for."""
        inputs, weight = ctx.saved_tensors
        grad, enough = grads[0], least()
        for_bias = grad.sum(1) if ctx.biased and ctx.needs_input_grad[2] else None
        if _is_small(inputs, weight):
            for_inputs = torch.bmm(grad, weight) if ctx.needs_input_grad[0] else None
            for_weight = torch.bmm(grad.transpose(1, 2), inputs) if ctx.needs_input_grad[1] else None
            return for_inputs, for_weight, for_bias
        for_inputs = inputs.new_empty(inputs.shape) if ctx.needs_input_grad[0] else None
        for_weight = torch.empty_like(weight) if ctx.needs_input_grad[1] else None

        def work(first: int, last: int) -> None:
            _backward(inputs, weight, grad, for_inputs, for_weight, first, last, enough)

        side_by_side(work, len(grad))
        return for_inputs, for_weight, for_bias


def _is_small(inputs: Tensor, weight: Tensor) -> bool:
    """Is one product of all members quicker than theirs one by one?"""
    return not has_threads() and inputs.shape[1] * weight.shape[1] * weight.shape[2] < least()


def _write(found: Tensor, inputs: Tensor, weight: Tensor, bias: Tensor | None, enough: int) -> None:
    """`multiply`, to where it belongs: a small product need not be copied."""
    if inputs.size(0) * weight.numel() >= enough:
        found.copy_(multiply(inputs, weight, bias, enough))
    elif bias is None:
        torch.mm(inputs, weight.t(), out=found)
    else:
        torch.addmm(bias, inputs, weight.t(), out=found)


def _forward_of(inputs: Tensor, weight: Tensor, bias: Tensor | None, found: Tensor, first: int, last: int, enough: int) -> None:
    """Of the members from `first` to `last`."""
    for j in range(first, last):
        _write(found[j], inputs[j], weight[j], None if bias is None else bias[j], enough)


def _backward_of(
    inputs: Tensor,
    weight: Tensor,
    grad: Tensor,
    for_inputs: Tensor | None,
    for_weight: Tensor | None,
    first: int,
    last: int,
    enough: int,
) -> None:
    """Of the members from `first` to `last`."""
    for j in range(first, last):
        if for_inputs is not None:
            _write(for_inputs[j], grad[j], weight[j].t(), None, enough)
        if for_weight is not None:
            for_weight[j].copy_(weight_gradient(grad[j], inputs[j], enough))


_forward, _backward = Compiled(_forward_of), Compiled(_backward_of)
