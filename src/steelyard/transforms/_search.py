"""How M2m moves an input: the box it may not leave, and the gradient steps that it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.pool import RowPool
from steelyard.core.task import Source
from steelyard.transforms._leaves import each, flat, is_number, leaves, refuse_label_sets, unflat

BOX_ROWS = 8192
"""The ends of the data are looked for among this many rows, evenly spaced, where there are more."""

Scores = Callable[[Any], Tensor]


def _as_it_is(inputs: Any) -> Any:
    return inputs


@dataclass(frozen=True, eq=False)
class Box:
    """Where inputs may go, and what a unit of length is in each coordinate.

    Attributes:
        low: smallest value: a number, or one for each quantity of an input `[D]`.
        high: largest value.
        unit: lengths (`start`, `step_size`) are measured in it; above 0.

    Example:
        >>> Box(0.0, 1.0).unit
        1.0
    """

    low: Tensor | float = -math.inf
    high: Tensor | float = math.inf
    unit: Tensor | float = 1.0

    @classmethod
    def of(cls, source: Source, read: Callable[[Any], Any] = _as_it_is) -> Box:
        """The box around the rows of a source: of each channel of an image, and of each column of a table.

        The unit of an image's channel is its range, so that lengths mean what they mean for images in [0, 1], whatever the
        normalisation. That of a column is 1.

        Args:
            source: training rows.
            read: what the rows go through before the model sees them (normalisation).

        Raises:
            CombinationError: the inputs hold no quantities.

        Example:
            >>> from steelyard.data import ResidentSource
            >>> box = Box.of(ResidentSource(torch.tensor([[0.0, 5.0], [2.0, 1.0]]), torch.tensor([0, 1])))
            >>> box.low, box.high
            (tensor([0., 1.]), tensor([2., 5.]))
        """
        ends: list[Tensor] = []
        flags: list[Tensor] = []
        rows = torch.arange(len(source))
        if len(rows) > BOX_ROWS:
            rows = torch.linspace(0, len(source) - 1, BOX_ROWS, dtype=torch.float64).round().to(torch.int64)
        for _, raw in source.to(torch.device("cpu")).stream(torch.split(rows, 512)):
            inputs = read(raw)
            check_quantities(inputs)
            parts = [leaf for leaf in leaves(inputs) if is_number(leaf)]
            found = torch.cat([_ends(leaf) for leaf in parts], 1)
            ends.append(found)
            flags = [torch.full((leaf.shape[1:].numel(),), leaf.ndim > 2) for leaf in parts]
        low, high = torch.stack(ends)[:, 0].amin(0), torch.stack(ends)[:, 1].amax(0)
        return cls(low, high, torch.where(torch.cat(flags) & (high > low), high - low, torch.ones_like(low)))

    def at(self, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Low, high and unit for inputs `[M, D]`; the box is widened where a start lies outside, so that it may stay there."""
        low, high, unit = (torch.as_tensor(end, dtype=start.dtype).to(start.device) for end in (self.low, self.high, self.unit))
        return torch.minimum(low, start), torch.maximum(high, start), unit


def _ends(leaf: Tensor) -> Tensor:
    """Smallest and largest value `[2, D]`, over rows and over the places of an image."""
    places = (0, *range(2, leaf.ndim))
    values = torch.stack([leaf.float().amin(places, keepdim=True), leaf.float().amax(places, keepdim=True)])
    return values.expand(2, 1, *leaf.shape[1:]).flatten(1)


def check_quantities(inputs: Any) -> None:
    """Refuse inputs that no gradient can move.

    Raises:
        CombinationError: no floating-point tensor among them.
    """
    refuse_label_sets(inputs, "major-to-minor turns an input of one class into one of another")
    found = leaves(inputs)
    if not any(is_number(leaf) for leaf in found):
        kinds = ", ".join(sorted({str(leaf.dtype).removeprefix("torch.") for leaf in found}))
        raise CombinationError(
            f"major-to-minor moves inputs by gradient steps, and these hold no floating-point numbers (only {kinds}): it is "
            "not for categories alone, and images have to be normalised first"
        )


@dataclass(frozen=True, eq=False)
class Search:
    """Settings of M2m's search for an input.

    Attributes:
        lam: lambda, 0 or more: how strongly the model's logit of the seed's class is pushed down.
        steps: gradient steps, 0 or more.
        step_size: length of a step in L2 norm, in units of `box`, 0 or more.
        start: length of the random start at most, likewise.
        box: where inputs may go.
        seeds: further rows to choose seeds from, beside those of the batch; None for those of the batch alone.
        whole_batch_start: as released: the random start of each channel is shortened to `start` for the whole batch
            together, which leaves a single input of a large batch almost none.

    Raises:
        ArgumentError: a number is negative or not finite.
    """

    lam: float = 0.5
    steps: int = 10
    step_size: float = 0.1
    start: float = 0.5
    box: Box = Box()
    seeds: RowPool | None = None
    whole_batch_start: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("lam", "steps", "step_size", "start"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ArgumentError(name, "a finite number, 0 or more", value)

    def __call__(self, inputs: Any, stream: torch.Generator, climb: Callable[[Any], Tensor]) -> Any:
        """Inputs at which `climb`, a value for each of them `[M]`, is lower.

        Args:
            inputs: where to begin; their categories stay as they are.
            stream: of the random start.
            climb: differentiable by the inputs.
        """
        here = flat(inputs)
        low, high, unit = self.box.at(here)
        here = (here + unit * self._noise(inputs, stream)).clamp(low, high)
        for _ in range(self.steps):
            here = here.detach().requires_grad_()
            (slope,) = torch.autograd.grad(climb(unflat(here, inputs)).sum(), here)
            slope = unit * slope
            length = torch.linalg.vector_norm(slope, dim=1, keepdim=True)
            step = torch.where(length > 0, self.step_size * slope / length, torch.zeros_like(slope))
            here = (here.detach() - unit * step).clamp(low, high)
        return unflat(here.detach(), inputs)

    def _noise(self, inputs: Any, stream: torch.Generator) -> Tensor:
        """Uniform noise `[M, D]` whose length is cut to `start`: of each input, or (as released) of each channel."""

        def drawn(leaf: Tensor) -> Tensor:
            if not is_number(leaf):
                return leaf
            kind = torch.promote_types(leaf.dtype, torch.float32)
            noise = torch.rand(leaf.shape, generator=stream, device=stream.device).to(leaf.device, kind) - 0.5
            if self.whole_batch_start:
                noise = noise.renorm(2, 1, self.start) if leaf.ndim > 1 else _shortened(noise[None], self.start)[0]
            return noise

        noise = flat(each(drawn, inputs))
        return noise if self.whole_batch_start else _shortened(noise, self.start)


def _shortened(vectors: Tensor, length: float) -> Tensor:
    """Rows longer than `length` cut to it."""
    norm: Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors * (length / norm.clamp_min(torch.finfo(norm.dtype).tiny)).clamp_max(1.0)
