"""Embeddings of numeric columns: each number becomes a short vector, so that a linear layer can bend along a column."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.stacked_smooth import Source
from steelyard.nets.waves import source_of, waves


class PeriodicEmbedding(nn.Module):
    r"""A column's number beside a learned linear map of cosines of it.

    For column i with value x, frequencies w and phases b (learned, for this column alone):

        e_i(x) = [x, A_i cos(2 pi (w_i x + b_i)) + c_i]

    Steps and bumps along one column, which trees find with two splits, are then within reach of the first layer.

    Args:
        columns: d, at least 1. Values should be of order 1 (standardised).
        frequencies: cosines a column, at least 1.
        width: numbers a column that come out, the value itself among them; at least 2.
        sigma: standard deviation of the initial frequencies, > 0: about the number of waves within one standard deviation of
            the column. Large ones fit small data by heart.

    Shapes:
        `[N, d]` to `[N, d * width]`; the numbers of a column lie side by side.

    Raises:
        ArgumentError: a setting is out of range.

    Reference:
        Gorishniy, Rubachev, Babenko. On Embeddings for Numerical Features in Tabular Deep Learning. NeurIPS 2022. Holzmüller,
        Grinsztajn, Steinwart. Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data. NeurIPS 2024.

    Departures:
        The first paper has sines beside the cosines, no phases, and a ReLU at the end; the form here, with the value itself
        beside it, is that of the second.

    Example:
        >>> PeriodicEmbedding(3, width=4)(torch.zeros(5, 3)).shape
        torch.Size([5, 12])
    """

    takes_members = True  # see `core.stacked_layers`

    def __init__(self, columns: int, *, frequencies: int = 16, width: int = 4, sigma: float = 0.1) -> None:
        super().__init__()
        if columns < 1:
            raise ArgumentError("columns", "at least 1", columns)
        if frequencies < 1:
            raise ArgumentError("frequencies", "at least 1", frequencies)
        if width < 2:
            raise ArgumentError("width", "at least 2", width)
        if not 0 < sigma < math.inf:
            raise ArgumentError("sigma", "a number above 0", sigma)
        self.width = columns * width
        bound = frequencies**-0.5
        self.frequency = nn.Parameter(torch.randn(columns, frequencies) * sigma)
        self.phase = nn.Parameter(torch.rand(columns, frequencies) - 0.5)
        self.weight = nn.Parameter((torch.rand(columns, frequencies, width - 1) * 2 - 1) * bound)
        self.bias = nn.Parameter((torch.rand(columns, width - 1) * 2 - 1) * bound)

    def forward(self, numeric: Tensor) -> Tensor:
        """The embedded columns `[N, d * width]`."""
        return waves(numeric, self.frequency, self.phase, self.weight, self.bias)

    def source(self, numeric: Tensor) -> Source | None:
        """What `forward` gives, some members at a time, for the layers behind it; None where `forward` is wanted."""
        return source_of(numeric, self.frequency, self.phase, self.weight, self.bias)


class PiecewiseLinearEmbedding(nn.Module):
    r"""A column's number beside how far it reaches into each of a row of bins.

    With edges `q_0 < q_1 < ... < q_T`, the embedding of a value x is x and

        e_t(x) = clip((x - q_{t-1}) / (q_t - q_{t-1}), 0, 1),    t = 1, ..., T

    so a linear layer on top is a piecewise linear function of the column, with a kink at each edge. The edges are quantiles of
    the standard normal distribution and the same for all columns, so the columns should be standardised, or better mapped to
    normal quantiles: the bins are then quantiles of the data, as in the paper. There is nothing to learn here, so members that
    see the same rows share the work.

    Args:
        columns: d, at least 1.
        bins: T, at least 2.

    Shapes:
        `[N, d]` to `[N, d * (T + 1)]`: the columns as they are, then T numbers a column, side by side.

    Raises:
        ArgumentError: a setting is out of range.

    Reference:
        Gorishniy, Rubachev, Babenko. On Embeddings for Numerical Features in Tabular Deep Learning. NeurIPS 2022.

    Departures:
        The edges of the paper are the quantiles, or the splits of a tree, of each column of the training rows. There the first
        and the last bin have no outer end, which is what x itself is for here.

    Example:
        >>> PiecewiseLinearEmbedding(1, bins=2)(torch.tensor([[0.0]]))
        tensor([[0., 1., 0.]])
    """

    edges: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, columns: int, *, bins: int = 8) -> None:
        super().__init__()
        if columns < 1:
            raise ArgumentError("columns", "at least 1", columns)
        if bins < 2:
            raise ArgumentError("bins", "at least 2", bins)
        self.width = columns * (bins + 1)
        level = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
        edges = torch.special.ndtri(level.clamp(0.25 / bins, 1 - 0.25 / bins))
        for name, values in (("edges", edges), ("slope", 1 / edges.diff()), ("offset", -edges[:-1] / edges.diff())):
            self.register_buffer(name, values.float(), persistent=False)

    def forward(self, numeric: Tensor) -> Tensor:
        """The embedded columns `[N, d * (T + 1)]`."""
        reach = torch.addcmul(self.offset, numeric.unsqueeze(-1), self.slope).clamp(0, 1)
        return torch.cat([numeric, reach.flatten(1)], dim=1)
