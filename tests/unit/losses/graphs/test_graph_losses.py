"""Losses with something of a graph beside the rows."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from steelyard.core.errors import ArgumentError
from steelyard.losses import BalancedSoftmax
from steelyard.losses.graphs.edge_reconstruction import EdgeDecoder, EdgeReconstruction
from steelyard.losses.graphs.shifted import Shifted


def test_a_shift_is_added_before_the_loss() -> None:
    logits, target, shift = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1]), torch.randn(5, 3)
    inner = BalancedSoftmax([5, 3, 1])
    assert torch.equal(Shifted(inner).rows(logits, target, shift=shift, other=1), inner.rows(logits + shift, target))
    assert torch.equal(Shifted().rows(logits, target), F.cross_entropy(logits, target, reduction="none"))


def test_edges_are_reconstructed_beside_the_weighted_loss() -> None:
    logits, target, values = torch.randn(4, 2), torch.tensor([0, 1, 1, 0]), torch.randn(6, 3)
    decoder = EdgeDecoder(3)
    loss = EdgeReconstruction(decoder, 0.5)
    mixed = {"old": torch.tensor([[0, 1], [1, 0]]), "pairs": torch.tensor([[2, 3], [4, 5]])}
    plain, beside = loss.parts(logits, target, embeddings=values, mixed=mixed)
    assert torch.equal(plain, F.cross_entropy(logits, target, reduction="none"))
    chance = torch.sigmoid(values @ decoder.form @ values.T)
    error = (((1 - chance[[0, 1], [1, 0]]) ** 2).mean() + (chance[[2, 3], [4, 5]] ** 2).mean()) / 2
    assert beside is not None and torch.allclose(beside, 0.5 * error.expand(4))
    assert torch.allclose(loss.rows(logits, target, embeddings=values, mixed=mixed), plain + beside)
    beside.sum().backward()
    assert decoder.form.grad is not None and bool((decoder.form.grad != 0).any())


def test_without_embeddings_edges_or_weight_it_is_the_loss_alone() -> None:
    logits, target, values = torch.randn(4, 2), torch.tensor([0, 1, 1, 0]), torch.randn(6, 3)
    none = {"old": torch.empty(2, 0, dtype=torch.int64), "pairs": torch.zeros(2, 1, dtype=torch.int64)}
    assert EdgeReconstruction(EdgeDecoder(3)).parts(logits, target)[1] is None
    assert EdgeReconstruction(EdgeDecoder(3)).parts(logits, target, embeddings=values, mixed=none)[1] is None
    assert EdgeReconstruction(EdgeDecoder(3), 0).parts(logits, target, embeddings=values, mixed=none)[1] is None
    with pytest.raises(ArgumentError, match="weight"):
        EdgeReconstruction(EdgeDecoder(3), -1)
