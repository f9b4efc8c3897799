"""What Mixup, Remix and CutMix share: how much of each input comes from which, and the two rows that it becomes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.rows import Batch


def check_alpha(alpha: float) -> float:
    """The parameter of a Beta distribution, or 0 for no mixing."""
    if not (alpha >= 0 and math.isfinite(alpha)):
        raise ArgumentError("alpha", "a finite number, 0 or more", alpha)
    return float(alpha)


def refuse_extra(batch: Batch, verb: str) -> None:
    """Refuse a batch with something for each row beside input and label, which no mixed row could have."""
    if batch.extra:
        named = ", ".join(f"'{name}'" for name in batch.extra)
        raise CombinationError(f"{verb} a batch that carries {named}: what belongs to one row fits no mixed row")


def draw_beta(alpha: float, size: int, generator: torch.Generator) -> Tensor:
    """Numbers from Beta(alpha, alpha), float32 `[size]`, on the generator's device.

    The ratio of two gamma variables, taken on the log scale: log Gamma(a) = log Gamma(a + 1) + log(U) / a in distribution,
    which does not underflow for small alpha.

    Reference:
        Marsaglia, Tsang. A Simple Method for Generating Gamma Variables. 2000, section 6.
    """
    device = generator.device
    shape = torch.full((2, size), alpha + 1.0, device=device)
    # 1 - rand lies in (0, 1], where the logarithm is finite.
    uniform = 1 - torch.rand(2, size, generator=generator, device=device)
    logs = torch._standard_gamma(shape, generator=generator).log() + uniform.log() / alpha
    return torch.sigmoid(logs[0] - logs[1])


def two_rows(batch: Batch, share: Tensor, partner: Tensor) -> Batch:
    """Two rows for one: in the row's own input with its share, and in the input that took it for a partner with the rest."""
    if batch.owner is None:
        own = torch.arange(len(partner), device=partner.device)
        first, second, twin = own, own, partner
    else:
        taker = torch.argsort(partner)
        first, second = batch.owner, taker[batch.owner]
        twin = torch.arange(len(batch.target), device=partner.device)
    shares = share[first], 1 - share[second]
    if batch.share is not None:
        shares = shares[0] * batch.share, shares[1] * batch.share[twin]
    return batch.replace(
        target=torch.cat([batch.target, batch.target[twin]]),
        index=torch.cat([batch.index, batch.index[twin]]),
        owner=torch.cat([first, second]),
        share=torch.cat(shares),
    )


def length(inputs: Any) -> int:
    """Inputs in the batch, the same for every tensor; refuses what cannot be blended."""
    if isinstance(inputs, Tensor):
        if inputs.dtype == torch.uint8:
            expected = "floating point before mixup: bytes cannot be blended (normalise the images when loading)"
            raise ArgumentError("inputs", expected, "uint8")
        if inputs.ndim == 0:
            raise ArgumentError("inputs", "tensors [M, ...]", "a tensor without dimensions")
        return len(inputs)
    if not isinstance(inputs, Mapping) or not inputs:
        expected = "a tensor or a mapping of tensors, as others cannot be mixed: leave out mixup and its kind"
        raise ArgumentError("inputs", expected, type(inputs).__name__)
    lengths = {length(value) for value in inputs.values()}
    if len(lengths) > 1:
        raise ArgumentError("inputs", "tensors of one length", f"lengths {', '.join(map(str, sorted(lengths)))}")
    return lengths.pop()


def blended(inputs: Any, share: Tensor, partner: Tensor, stream: torch.Generator) -> Any:
    """`share` of each input and the rest of its partner; categories are taken from one or the other."""
    if not isinstance(inputs, Tensor):
        return {name: blended(value, share, partner, stream) for name, value in inputs.items()}
    share = share.reshape(-1, *[1] * (inputs.ndim - 1))
    other = inputs[partner]
    if not (inputs.is_floating_point() or inputs.is_complex()):
        draw = torch.rand(inputs.shape, generator=stream, device=stream.device).to(inputs.device)
        return torch.where(draw < share, inputs, other)
    if inputs.dtype in (torch.float16, torch.bfloat16):
        return torch.lerp(other.float(), inputs.float(), share).to(inputs.dtype)
    return torch.lerp(other, inputs, share.to(inputs.dtype))


def draw_mix(alpha: float, size: int, per_row: bool, batch: Batch, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """A share for each of `size` inputs, and its partner, on the batch's device."""
    device = batch.target.device
    share = draw_beta(alpha, size if per_row else 1, stream).to(device).expand(size)
    return share, torch.randperm(size, generator=stream, device=stream.device).to(device)
