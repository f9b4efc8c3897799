"""Mixup: every input of a batch is blended with another one, and counts for both labels by its shares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch


class Mixup:
    """Blend each input with a partner from the same batch.

    With lambda ~ Beta(alpha, alpha) and a random permutation p of the batch,

        x'_i = lambda x_i + (1 - lambda) x_p(i)

    and x'_i becomes two rows: the labels of x_i with share lambda, and those of x_p(i) with share 1 - lambda. Any loss and any
    weighting then work on hard labels, each weighted by its own class.

    Inputs may be a tensor or a (nested) mapping of tensors, `[M, ...]` each. Floating point tensors are blended. Integer
    tensors hold categories, which cannot be: each cell is taken from the partner with probability 1 - lambda. Images of bytes
    (uint8) must have been made floating point before.

    A batch whose rows already have owners or shares (a batch mixed before, or with ignored units) is mixed on: the shares
    multiply, and a row of share 0 stays at 0.

    Args:
        alpha: at least 0; 1 draws lambda uniformly, smaller values stay closer to the originals, and 0 changes nothing.
        per_row: draw a lambda for each input instead of one for the batch.

    Shapes:
        inputs `[M, ...]` and N rows to inputs `[M, ...]` and 2N rows; the first N rows are the batch's own, in order.

    Raises:
        ArgumentError: `alpha` negative or not finite; inputs that are not tensors, differ in length, or are uint8.
        CombinationError: the batch carries `extra`, which belongs to rows that would no longer exist.

    Reference:
        Zhang, Cisse, Dauphin, Lopez-Paz. mixup: Beyond Empirical Risk Minimization. ICLR 2018.

    Departures:
        Categorical columns (see above) are ours; the paper has none.

    Example:
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.oracle import Oracle
        >>> from steelyard.core.rows import Rows
        >>> oracle = Oracle(torch.nn.Linear(2, 2), lambda m, b: Rows(m(b.inputs)[b.owner], b.target), Objective())
        >>> batch = Mixup()(oracle, Batch(torch.eye(2), torch.tensor([0, 1]), torch.tensor([7, 8])))
        >>> batch.owner, round(batch.share.sum().item(), 5)
        (tensor([0, 1, 0, 1]), 2.0)
    """

    def __init__(self, alpha: float = 1.0, *, per_row: bool = False) -> None:
        if not (alpha >= 0 and math.isfinite(alpha)):
            raise ArgumentError("alpha", "a finite number, 0 or more", alpha)
        self.alpha, self.per_row = float(alpha), per_row

    def __call__(self, oracle: Oracle, batch: Batch) -> Batch:
        """The mixed batch; draws from `oracle.generator`."""
        if self.alpha == 0:
            return batch
        if batch.extra:
            named = ", ".join(f"'{name}'" for name in batch.extra)
            raise CombinationError(f"mixup cannot mix a batch that carries {named}: what belongs to one row fits no mixed row")
        size, device = _length(batch.inputs), batch.target.device
        stream = oracle.generator
        share = draw_beta(self.alpha, size if self.per_row else 1, stream).to(device).expand(size)
        partner = torch.randperm(size, generator=stream, device=stream.device).to(device)
        return _rows(batch, share, partner).replace(inputs=_mixed(batch.inputs, share, partner, stream))

    def __repr__(self) -> str:
        """The settings."""
        return f"Mixup(alpha={self.alpha:g}, per_row={self.per_row})"


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


def _rows(batch: Batch, share: Tensor, partner: Tensor) -> Batch:
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


def _length(inputs: Any) -> int:
    """Inputs in the batch, the same for every tensor."""
    if isinstance(inputs, Tensor):
        if inputs.dtype == torch.uint8:
            expected = "floating point before mixup: bytes cannot be blended (normalise the images when loading)"
            raise ArgumentError("inputs", expected, "uint8")
        if inputs.ndim == 0:
            raise ArgumentError("inputs", "tensors [M, ...]", "a tensor without dimensions")
        return len(inputs)
    if not isinstance(inputs, Mapping) or not inputs:
        raise ArgumentError("inputs", "a tensor or a mapping of tensors", type(inputs).__name__)
    lengths = {_length(value) for value in inputs.values()}
    if len(lengths) > 1:
        raise ArgumentError("inputs", "tensors of one length", f"lengths {', '.join(map(str, sorted(lengths)))}")
    return lengths.pop()


def _mixed(inputs: Any, share: Tensor, partner: Tensor, stream: torch.Generator) -> Any:
    if not isinstance(inputs, Tensor):
        return {name: _mixed(value, share, partner, stream) for name, value in inputs.items()}
    share = share.reshape(-1, *[1] * (inputs.ndim - 1))
    other = inputs[partner]
    if not (inputs.is_floating_point() or inputs.is_complex()):
        draw = torch.rand(inputs.shape, generator=stream, device=stream.device).to(inputs.device)
        return torch.where(draw < share, inputs, other)
    if inputs.dtype in (torch.float16, torch.bfloat16):
        return torch.lerp(other.float(), inputs.float(), share).to(inputs.dtype)
    return torch.lerp(other, inputs, share.to(inputs.dtype))
