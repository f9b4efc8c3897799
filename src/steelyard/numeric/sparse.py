"""A constant sparse matrix times a dense one, differentiable by the dense one in every way that influences are computed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from steelyard.numeric.graph import as_csr

SPARSE_BELOW = 0.1
"""Share of entries that are not zero below which a matrix is multiplied as a sparse one."""


class Sparse:
    """A constant matrix of which most entries are zero, plus a few dense rows.

    Args:
        matrix: `[n, d]` in compressed rows (CSR).
        transposed: its transpose, in compressed rows.
        rows: numbers `[k]` of rows that something is added to; those from n on are new.
        values: what is added `[k, d]`; may have a gradient.

    Example:
        >>> eye = as_csr(torch.eye(2))
        >>> Sparse(eye, eye, torch.tensor([2]), torch.tensor([[3.0, 0.0]])).times(torch.tensor([[1.0], [2.0]]))
        tensor([[1.],
                [2.],
                [3.]])
    """

    def __init__(self, matrix: Tensor, transposed: Tensor, rows: Tensor | None = None, values: Tensor | None = None) -> None:
        self.matrix, self.transposed, self.rows, self.values = matrix, transposed, rows, values

    @classmethod
    def of(cls, dense: Tensor) -> Sparse:
        """A dense matrix as a sparse one."""
        return cls(as_csr(dense), as_csr(dense.T.contiguous()))

    @property
    def shape(self) -> torch.Size:
        """Rows and columns, new rows included."""
        rows, columns = self.matrix.shape
        if self.rows is not None and len(self.rows):
            rows = max(rows, int(self.rows.max()) + 1)
        return torch.Size((rows, columns))

    def plus(self, rows: Tensor, values: Tensor) -> Sparse:
        """The matrix with `values` `[k, d]` added to some rows `[k]`, which may be new ones behind it."""
        if self.rows is not None and self.values is not None:
            rows, values = torch.cat([self.rows, rows]), torch.cat([self.values, values])
        return Sparse(self.matrix, self.transposed, rows, values)

    def times(self, dense: Tensor) -> Tensor:
        """The product with `[d, k]`: `[n, k]`.

        Torch's own product has no forward-mode derivative and thereby no fast influences.
        """
        product: Tensor = _Times.apply(dense, self.matrix, self.transposed)  # type: ignore[no-untyped-call]
        if self.rows is None or self.values is None:
            return product
        more = self.shape[0] - len(product)
        product = torch.cat([product, product.new_zeros(more, product.shape[1])]) if more else product
        return product.index_add(0, self.rows, self.values @ dense)

    def dense(self) -> Tensor:
        """All of it as a dense matrix."""
        whole = self.matrix.to_dense()
        if self.rows is None or self.values is None:
            return whole
        whole = torch.cat([whole, whole.new_zeros(self.shape[0] - len(whole), whole.shape[1])])
        return whole.index_add(0, self.rows, self.values)


def compact(x: Tensor) -> Tensor | Sparse:
    """A matrix as it is, or as a sparse one where few of its entries are not zero."""
    return Sparse.of(x) if x.numel() and float((x != 0).double().mean()) < SPARSE_BELOW else x


class _Times(torch.autograd.Function):
    """`M @ W` with M constant: linear in W, so every derivative is a product again."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.matrix, ctx.transposed = matrix, transposed
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        product = _Times.apply(gradients[0], ctx.transposed, ctx.matrix)  # type: ignore[no-untyped-call]
        return product, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return ctx.matrix @ tangents[0]
