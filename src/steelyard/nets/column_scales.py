"""A learned factor for each numeric column, which moves faster than the weights behind it: a soft choice of columns."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError


class ColumnScales(nn.Module):
    """Multiplies all numbers of a column by one learned factor, 1 at first.

    A column that tells the classes apart is soon heard louder than those that do not, so that few rows of a rare class suffice
    to find a handful of columns among hundreds. The factor is `speed` times the parameter: an optimiser whose steps do not
    depend on the size of gradients (Adam, AdamW) moves it `speed` times as fast as other weights.

    Args:
        columns: d, at least 1.
        width: numbers that each column has, side by side, at least 1.
        speed: above 0.

    Shapes:
        `[N, d * width]` to the same; of k members `[k, N, d * width]`.

    Raises:
        ArgumentError: a setting is out of range.

    Reference:
        Holzmüller, Grinsztajn, Steinwart. Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data. NeurIPS
        2024 (the scaling layer, there with 6 times the learning rate).

    Departures:
        The speed is part of the module, so that any optimiser without groups of parameters will do. The factor is one for the
        whole embedding of a column, and stands behind it.

    Example:
        >>> ColumnScales(2, width=3)(torch.ones(4, 6)).shape
        torch.Size([4, 6])
    """

    takes_members = True  # see `core.stacked_layers`

    def __init__(self, columns: int, *, width: int = 1, speed: float = 6.0) -> None:
        super().__init__()
        for name, value in (("columns", columns), ("width", width)):
            if value < 1:
                raise ArgumentError(name, "at least 1", value)
        if not 0 < speed < math.inf:
            raise ArgumentError("speed", "a number above 0", speed)
        self.width, self.speed = width, float(speed)
        self.size = nn.Parameter(torch.full((columns,), 1 / self.speed))

    def forward(self, embedded: Tensor) -> Tensor:
        """The columns, scaled."""
        factors = (self.speed * self.size).repeat_interleave(self.width, dim=-1)
        return embedded * (factors if factors.ndim == 1 else factors.unsqueeze(-2))

    def extra_repr(self) -> str:
        """Shown by print(model)."""
        return f"columns={self.size.shape[-1]}, width={self.width}, speed={self.speed:g}"
