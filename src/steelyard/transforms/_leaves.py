"""Inputs as a tree of tensors: a tensor, or a (nested) mapping of them, `[M, ...]` each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.rows import LABEL_SETS


def leaves(inputs: Any) -> list[Tensor]:
    """The tensors of the inputs, in order.

    Raises:
        ArgumentError: something else than tensors, or tensors of different lengths.
    """
    found = list(_walk(inputs))
    lengths = sorted({len(leaf) for leaf in found})
    if len(lengths) > 1:
        raise ArgumentError("inputs", "tensors of one length", f"lengths {', '.join(map(str, lengths))}")
    return found


def _walk(inputs: Any) -> Iterator[Tensor]:
    if isinstance(inputs, Tensor):
        if inputs.ndim == 0:
            raise ArgumentError("inputs", "tensors [M, ...]", "a tensor without dimensions")
        yield inputs
    elif isinstance(inputs, Mapping) and inputs:
        for value in inputs.values():
            yield from _walk(value)
    else:
        raise ArgumentError("inputs", "a tensor or a mapping of tensors", type(inputs).__name__)


def each(function: Callable[..., Tensor], *inputs: Any) -> Any:
    """The function's results for corresponding tensors of inputs of the same structure."""
    first = inputs[0]
    if isinstance(first, Tensor):
        return function(*inputs)
    return {name: each(function, *(tree[name] for tree in inputs)) for name in first}


def pick(inputs: Any, rows: Tensor) -> Any:
    """The inputs at some places `[K]`."""
    return each(lambda leaf: leaf[rows], inputs)


def joined(first: Any, second: Any) -> Any:
    """Inputs of two batches, one after the other."""
    return each(lambda one, two: torch.cat([one, two.to(one.dtype)]), first, second)


def is_number(leaf: Tensor) -> bool:
    """Does the tensor hold quantities, and not categories or bytes?"""
    return leaf.is_floating_point()


def flat(inputs: Any) -> Tensor:
    """All quantities of each input side by side `[M, D]`, in at least float32."""
    parts = [leaf.flatten(1) if leaf.ndim > 1 else leaf[:, None] for leaf in leaves(inputs) if is_number(leaf)]
    numbers = torch.cat(parts, 1)
    return numbers if numbers.dtype == torch.float64 else numbers.float()


def unflat(numbers: Tensor, like: Any) -> Any:
    """Inputs whose quantities are those of `numbers` `[M, D]`, and everything else as in `like`; the inverse of `flat`."""
    start = 0

    def filled(leaf: Tensor) -> Tensor:
        nonlocal start
        if not is_number(leaf):
            return leaf
        size = leaf.shape[1:].numel()
        start += size
        return numbers[:, start - size : start].reshape(leaf.shape).to(leaf.dtype)

    return each(filled, like)


def refuse_label_sets(inputs: Any, does: str) -> None:
    """Refuse inputs that have several labels each.

    Args:
        inputs: of the batch.
        does: the transform and what it does that needs one class an input, the first part of the message.

    Raises:
        CombinationError: they have.
    """
    if isinstance(inputs, Mapping) and LABEL_SETS in inputs:
        raise CombinationError(f"{does}, and these inputs have several labels each: use mixup, or none")
