"""The sparse product, with all its derivatives, against the dense one."""

from __future__ import annotations

import torch

from steelyard.numeric.directional import forward_slopes
from steelyard.numeric.sparse import Sparse, compact


def case() -> tuple[torch.Tensor, Sparse, torch.Tensor]:
    dense = torch.randn(7, 5, dtype=torch.float64) * (torch.rand(7, 5) < 0.4)
    rows, values = torch.tensor([1, 7, 8]), torch.randn(3, 5, dtype=torch.float64)
    whole = torch.cat([dense, torch.zeros(2, 5, dtype=torch.float64)]).index_add(0, rows, values)
    return whole, Sparse.of(dense).plus(rows[:1], values[:1]).plus(rows[1:], values[1:]), torch.randn(5, 3, dtype=torch.float64)


def test_product_shape_and_dense_form() -> None:
    whole, sparse, weight = case()
    assert sparse.shape == whole.shape
    assert torch.equal(sparse.dense(), whole)
    assert torch.allclose(sparse.times(weight), whole @ weight)


def test_first_and_second_derivatives() -> None:
    _, sparse, weight = case()
    weight.requires_grad_()
    assert torch.autograd.gradcheck(lambda w: sparse.times(w).pow(3), weight)
    assert torch.autograd.gradgradcheck(lambda w: sparse.times(w).pow(3), weight)


def test_forward_mode() -> None:
    whole, sparse, weight = case()
    tangent = {"w": torch.randn_like(weight)}
    found = forward_slopes(lambda at: sparse.times(at["w"]).sum(1), {"w": weight}, tangent)
    assert torch.allclose(found, (whole @ tangent["w"]).sum(1))


def test_added_rows_have_a_gradient() -> None:
    sparse, leaf = Sparse.of(torch.eye(3)), torch.ones(1, 3, requires_grad=True)
    sparse.plus(torch.tensor([3]), leaf).times(torch.full((3, 2), 2.0)).sum().backward()
    assert leaf.grad is not None and leaf.grad.tolist() == [[4, 4, 4]]


def test_only_sparse_matrices_become_sparse() -> None:
    assert isinstance(compact(torch.eye(50)), Sparse)
    assert isinstance(compact(torch.ones(5, 5)), torch.Tensor)
    assert isinstance(compact(torch.empty(0, 5)), torch.Tensor)
