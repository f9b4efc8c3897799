"""A multi-layer perceptron for tables: numeric columns as they are, categorical columns through embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.stacked_layers import joined

Table: TypeAlias = "Tensor | Mapping[str, Tensor]"
NORMS = ("layer", "batch", "none")


class MLP(nn.Module):
    """Embeddings, then hidden layers of Linear, normalisation, ReLU and dropout, then one linear layer.

    Category 0 of every categorical column means unknown or missing; it starts at the zero vector. The known categories are
    1 to K, and any other index is read as 0, so a category first met after training costs no error. The embedding of a column
    with K known categories has `min(50, K // 2 + 1)` dimensions.

    Numeric columns should be standardised and without NaN: the network does neither for you.

    Args:
        num_classes: C, at least 1.
        numeric: number of numeric columns d, at least 0.
        cardinalities: number of known categories K of each categorical column, not counting "unknown"; K at least 0.
        hidden: width of each hidden layer; `()` gives a linear model.
        dropout: in [0, 1): share of each hidden layer dropped while training.
        norm: `"layer"` (default: a row's result does not depend on which classes are in its batch, so re-balanced batches
            and natural ones see the same network, and training on one row works), `"batch"` (often learns faster on large
            balanced batches; its statistics follow the sampler) or `"none"`.

    Shapes:
        `{"numeric": float [N, d], "categorical": int64 [N, k]}` to logits `[N, C]`. Without categorical columns a tensor
        `[N, d]` will do, and more dimensions are flattened (images `[N, C, H, W]`). `features` gives `[N, hidden[-1]]`.

    Raises:
        ArgumentError: settings out of range, no column at all, or inputs that do not match the columns.

    Reference:
        Guo, Berkhahn. Entity Embeddings of Categorical Variables. 2016.

    Example:
        >>> model = MLP(2, numeric=1, cardinalities=[3])
        >>> model({"numeric": torch.zeros(4, 1), "categorical": torch.tensor([[0], [1], [3], [99]])}).shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        num_classes: int,
        numeric: int,
        cardinalities: Sequence[int] = (),
        *,
        hidden: Sequence[int] = (256, 128),
        dropout: float = 0.1,
        norm: str = "layer",
    ) -> None:
        super().__init__()
        _check(num_classes, numeric, cardinalities, hidden, dropout, norm)
        self.numeric = numeric
        self.cardinalities = tuple(int(known) for known in cardinalities)
        self.embeddings = nn.ModuleList(nn.Embedding(known + 1, min(50, known // 2 + 1)) for known in self.cardinalities)
        self.register_buffer("known", torch.tensor(self.cardinalities, dtype=torch.int64), persistent=False)
        width = numeric + sum(_width(embedding) for embedding in self.embeddings)
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [nn.Linear(width, size), _norm(norm, size), nn.ReLU(), nn.Dropout(dropout)]
            width = size
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, num_classes)
        with torch.no_grad():
            for embedding in self.embeddings:
                weight = embedding.get_parameter("weight")
                weight[0] = 0.0

    known: Tensor
    members_in_rows = True  # behind the columns there are body and head alone: see `core.stacked_layers`

    def features(self, inputs: Table) -> Tensor:
        """What the classifier sees: `[N, hidden[-1]]`."""
        features: Tensor = self.body(self._columns(inputs))
        return features

    def forward(self, inputs: Table) -> Tensor:
        """Logits `[N, C]`."""
        logits: Tensor = self.head(self.features(inputs))
        return logits

    def _columns(self, inputs: Table) -> Tensor:
        """All columns side by side as numbers `[N, width]`."""
        if isinstance(inputs, Tensor):
            inputs = {"numeric": inputs.flatten(1)}
        parts: list[Tensor] = []
        if self.numeric:
            parts.append(_take(inputs, "numeric", self.numeric))
        if self.cardinalities:
            codes = _take(inputs, "categorical", len(self.cardinalities))
            codes = torch.where((codes < 0) | (codes > self.known), 0, codes)
            parts += [embedding(codes[:, column]) for column, embedding in enumerate(self.embeddings)]
        return joined(parts)


def _width(embedding: nn.Module) -> int:
    return int(embedding.get_parameter("weight").shape[1])


def _norm(kind: str, size: int) -> nn.Module:
    if kind == "layer":
        return nn.LayerNorm(size)
    return nn.BatchNorm1d(size) if kind == "batch" else nn.Identity()


def _take(inputs: Mapping[str, Tensor], kind: str, columns: int) -> Tensor:
    if kind not in inputs:
        raise ArgumentError(
            "inputs", f"a mapping with '{kind}' [N, {columns}]", f"only {', '.join(sorted(inputs)) or 'nothing'}"
        )
    values = inputs[kind]
    if values.ndim != 2 or values.shape[1] != columns:
        raise ArgumentError(f"inputs['{kind}']", f"of shape [N, {columns}], one column a feature", list(values.shape))
    return values


def _check(
    num_classes: int, numeric: int, cardinalities: Sequence[int], hidden: Sequence[int], dropout: float, norm: str
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
    if norm not in NORMS:
        raise ArgumentError("norm", "'layer', 'batch' or 'none'", repr(norm))
