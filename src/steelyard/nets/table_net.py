"""A network for tables that embeds numbers as well as categories, made to be trained as several members at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.stacked_layers import in_row, joined
from steelyard.nets.column_scales import ColumnScales
from steelyard.nets.numeric_embeddings import PeriodicEmbedding, PiecewiseLinearEmbedding

Table: TypeAlias = "Tensor | Mapping[str, Tensor]"
EMBEDDINGS = ("periodic", "piecewise", "none")
MEDIUM = (5_000, 100_000)
"""Rows from which on, and below which, `settings_for` embeds numbers."""
WIDE = 40
"""Numeric columns from which on `settings_for` has a factor for each: with fewer, factors rather learn noise."""
CHOOSING = 20.0
"""How much faster than other weights they learn then."""


class FromColumns(nn.Linear):
    """A linear layer from few columns to many features, whose gradient is a product that is quick on processors.

    With the weight turned over in memory, the gradient of the weight is `x^T g` instead of `(g^T x)^T`: for some 15 columns a
    third of the time.
    """

    is_linear = True  # and may be taken for nn.Linear: see `core.stacked_layers`

    def forward(self, input: Tensor) -> Tensor:
        """As `nn.Linear`."""
        if input.ndim != 2 or input.device.type != "cpu" or 2 * self.in_features > self.out_features or self.bias is None:
            return super().forward(input)
        return torch.addmm(self.bias, input, self.weight.t().contiguous())


class TableNet(nn.Module):
    """Embedded columns, hidden layers of Linear, SiLU and dropout, then one linear layer.

    Numeric columns may be embedded (see `PeriodicEmbedding` and `PiecewiseLinearEmbedding`). Category 0 of every categorical
    column means unknown or missing; it starts at the zero vector. The known categories are 1 to K, and any other index is read
    as 0. The embedding of a column with K known categories has `min(50, K // 2 + 1)` dimensions.

    Every operation works row by row and without a branch on values, so the network runs under `torch.func.vmap` with the
    parameters of many members stacked.

    Args:
        num_classes: C, at least 1.
        numeric: number of numeric columns d, at least 0; standardised and without NaN.
        cardinalities: number of known categories K of each categorical column, not counting "unknown"; K at least 0.
        hidden: width of each hidden layer; `()` gives a linear model of the embedded columns.
        dropout: in [0, 1): share of each hidden layer dropped while training.
        embedding: of the numeric columns: `"periodic"`, `"piecewise"` or `"none"`.
        choosing: 0, or above it how much faster than other weights the factor of each numeric column learns (see
            `ColumnScales`).

    Shapes:
        `{"numeric": float [N, d], "categorical": int64 [N, k]}` to logits `[N, C]`. Without categorical columns a tensor
        `[N, d]` will do. `features` gives `[N, hidden[-1]]`.

    Raises:
        ArgumentError: settings out of range, no column at all, or inputs that do not match the columns.

    Reference:
        Gorishniy, Rubachev, Babenko. On Embeddings for Numerical Features in Tabular Deep Learning. NeurIPS 2022. Holzmüller,
        Grinsztajn, Steinwart. Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data. NeurIPS 2024.

    Example:
        >>> model = TableNet(2, numeric=1, cardinalities=[3])
        >>> model({"numeric": torch.zeros(4, 1), "categorical": torch.tensor([[0], [1], [3], [99]])}).shape
        torch.Size([4, 2])
    """

    known: Tensor
    members_in_rows = True  # behind the columns there are body and head alone: see `core.stacked_layers`

    def __init__(
        self,
        num_classes: int,
        numeric: int,
        cardinalities: Sequence[int] = (),
        *,
        hidden: Sequence[int] = (128, 64),
        dropout: float = 0.1,
        embedding: str = "periodic",
        choosing: float = 0.0,
    ) -> None:
        super().__init__()
        _check(num_classes, numeric, cardinalities, hidden, dropout, embedding, choosing)
        self.numeric = numeric
        self.cardinalities = tuple(int(known) for known in cardinalities)
        self.columns = _numeric_embedding(embedding, numeric)
        self.embeddings = nn.ModuleList(nn.Embedding(known + 1, min(50, known // 2 + 1)) for known in self.cardinalities)
        self.register_buffer("known", torch.tensor(self.cardinalities, dtype=torch.int64), persistent=False)
        width = _width(self.columns, numeric)
        if numeric and choosing:
            self.columns = nn.Sequential(self.columns, ColumnScales(numeric, width=width // numeric, speed=choosing))
        width += sum(min(50, known // 2 + 1) for known in self.cardinalities)
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [nn.Linear(width, size) if layers else FromColumns(width, size), nn.SiLU(), nn.Dropout(dropout)]
            width = size
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, num_classes)
        with torch.no_grad():
            for embedding_of_column in self.embeddings:
                embedding_of_column.get_parameter("weight")[0] = 0.0

    def features(self, inputs: Table) -> Tensor:
        """What the classifier sees: `[N, hidden[-1]]`."""
        features: Tensor = self.body(self._embed(inputs))
        return features

    def forward(self, inputs: Table) -> Tensor:
        """Logits `[N, C]`."""
        if getattr(self.features, "__func__", None) is not TableNet.features:  # of a subclass, say
            logits: Tensor = self.head(self.features(inputs))
            return logits
        if self.cardinalities:
            return in_row([self.body, self.head], self._embed(inputs))
        return in_row([self.columns, self.body, self.head], self._numeric(inputs))

    def _embed(self, inputs: Table) -> Tensor:
        """All embedded columns side by side `[N, width]`."""
        parts = [self.columns(self._numeric(inputs))] if self.numeric else []
        if self.cardinalities:
            codes = _take(inputs, "categorical", len(self.cardinalities))
            codes = torch.where((codes < 0) | (codes > self.known), 0, codes)
            parts += [embedding(codes[:, column]) for column, embedding in enumerate(self.embeddings)]
        return joined(parts)

    def _numeric(self, inputs: Table) -> Tensor:
        """The numeric columns `[N, d]`."""
        return _take(inputs, "numeric", self.numeric)


def settings_for(rows: int, columns: int = 1) -> dict[str, Any]:
    """Settings of a `TableNet` for so many training rows and numbers a row.

    Small tables leave numbers as they are: embedded ones are soon learnt by heart. Large ones do so for speed, and leave out
    dropout, which costs as much as the rest of such a small network. Wide tables learn a factor for each column.

    Args:
        rows: training rows.
        columns: numeric columns, encoded.

    Example:
        >>> [settings_for(rows)["embedding"] for rows in (500, 20_000, 200_000)]
        ['none', 'periodic', 'none']
    """
    embedded = MEDIUM[0] <= rows < MEDIUM[1]
    dropout = 0.3 if embedded else 0.1 if rows < MEDIUM[1] else 0.0
    embedding = "periodic" if embedded else "none"
    return {"hidden": (128, 64), "dropout": dropout, "embedding": embedding, "choosing": CHOOSING if columns >= WIDE else 0.0}


def _numeric_embedding(kind: str, columns: int) -> nn.Module:
    if columns == 0 or kind == "none":
        return nn.Identity()
    return PeriodicEmbedding(columns) if kind == "periodic" else PiecewiseLinearEmbedding(columns)


def _width(embedding: nn.Module, columns: int) -> int:
    if isinstance(embedding, PeriodicEmbedding | PiecewiseLinearEmbedding):
        return embedding.width
    return columns


def _take(inputs: Table, kind: str, columns: int) -> Tensor:
    if isinstance(inputs, Tensor):
        inputs = {"numeric": inputs.flatten(1)}
    if kind not in inputs:
        raise ArgumentError(
            "inputs", f"a mapping with '{kind}' [N, {columns}]", f"only {', '.join(sorted(inputs)) or 'nothing'}"
        )
    values = inputs[kind]
    if values.ndim != 2 or values.shape[1] != columns:
        raise ArgumentError(f"inputs['{kind}']", f"of shape [N, {columns}], one column a feature", list(values.shape))
    return values


def _check(
    num_classes: int,
    numeric: int,
    cardinalities: Sequence[int],
    hidden: Sequence[int],
    dropout: float,
    embedding: str,
    choosing: float,
) -> None:
    if num_classes < 1:
        raise ArgumentError("num_classes", "at least 1", num_classes)
    if numeric < 0:
        raise ArgumentError("numeric", "a number of columns, 0 or more", numeric)
    if any(known < 0 for known in cardinalities):
        raise ArgumentError("cardinalities", "numbers of known categories, each 0 or more", list(cardinalities))
    if numeric == 0 and not cardinalities:
        raise ArgumentError("numeric", "at least 1 where there are no categorical columns", numeric)
    if any(size < 1 for size in hidden):
        raise ArgumentError("hidden", "layer widths, each at least 1", list(hidden))
    if not 0 <= dropout < 1:
        raise ArgumentError("dropout", "a share in [0, 1)", dropout)
    if embedding not in EMBEDDINGS:
        raise ArgumentError("embedding", "'periodic', 'piecewise' or 'none'", repr(embedding))
    if not 0 <= choosing < math.inf:
        raise ArgumentError("choosing", "0, or a number above it", choosing)
