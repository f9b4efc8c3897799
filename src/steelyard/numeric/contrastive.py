"""Self-supervised losses of two views of the same rows: NT-Xent and VICReg. No label enters them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

NORM_FLOOR = 1e-6
"""Embeddings shorter than this are not stretched to length 1: a row of zeros keeps a finite gradient."""

VARIANCE_FLOOR = 1e-4
"""Added to variances before the root (VICReg)."""


def directions(embeddings: Tensor) -> Tensor:
    """Rows of length 1 `[N, d]`; a row of zeros stays one.

    Example:
        >>> directions(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    length: Tensor = torch.linalg.vector_norm(embeddings, dim=1, keepdim=True)
    return embeddings / length.clamp_min(NORM_FLOOR)


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.5) -> Tensor:
    """Normalised, temperature-scaled cross-entropy of each pair `[N]`; its mean is that over all 2N views.

    A view u has its twin u' for the right answer and all 2N - 2 views of other rows for wrong ones:

        l_u = -log( exp(cos(u, u') / T) / sum_{v != u} exp(cos(u, v) / T) ),   value of a pair = (l_u + l_u') / 2

    Args:
        first: embeddings of one view of each row `[N, d]`, float32 or float64.
        second: of the other view `[N, d]`.
        temperature: T, above 0.

    A batch of one pair has no wrong answers: its value is 0.

    Example:
        >>> nt_xent(torch.eye(2), torch.eye(2), temperature=1.0)  # log((e + 2) / e)
        tensor([0.5514, 0.5514])
    """
    pairs = first.shape[0]
    views = directions(torch.cat([first, second]))
    scores = views @ views.T / temperature
    itself = torch.eye(2 * pairs, dtype=torch.bool, device=scores.device)
    twin = torch.arange(2 * pairs, device=scores.device).roll(pairs)
    losses = F.cross_entropy(scores.masked_fill(itself, -torch.inf), twin, reduction="none")
    return losses.reshape(2, pairs).mean(0)


def vicreg(first: Tensor, second: Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0) -> Tensor:
    """Variance-invariance-covariance regularisation: the part of each pair `[N]`.

    Their mean is

        invariance * mean (z - z')^2  +  variance * (v(Z) + v(Z')) / 2  +  covariance * (c(Z) + c(Z'))

        v(Z) = mean_j max(0, 1 - sqrt(Var_j + 1e-4)),   c(Z) = sum_{i != j} Cov_ij^2 / d

    The first term belongs to the pair. The other two are of the batch, and the same for every pair.

    Args:
        first: embeddings of one view of each row `[N, d]`, float32 or float64.
        second: of the other view `[N, d]`.
        invariance: weight of the distance between the views, 0 or more.
        variance: weight of the spread of each dimension, 0 or more.
        covariance: weight of the covariance between dimensions, 0 or more.

    A batch of one pair has no spread: its variances count as 0.

    Example:
        >>> spread = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> vicreg(spread, spread)
        tensor([0., 0., 0., 0.])
    """
    distance = (first - second).square().mean(1)
    spread = (_spread(first) + _spread(second)) / 2
    return invariance * distance + (variance * spread + covariance * (_overlap(first) + _overlap(second)))


def _centred(embeddings: Tensor) -> Tensor:
    """Rows around their mean, divided so that products of columns are unbiased covariances."""
    rows = embeddings.shape[0]
    return (embeddings - embeddings.mean(0)) / math.sqrt(max(rows - 1, 1))


def _spread(embeddings: Tensor) -> Tensor:
    deviation = (_centred(embeddings).square().sum(0) + VARIANCE_FLOOR).sqrt()
    return F.relu(1 - deviation).mean()


def _overlap(embeddings: Tensor) -> Tensor:
    """Sum of the squared covariances between different columns, over the number of columns.

    |Z^T Z|^2 = |Z Z^T|^2, so the smaller of the two products is enough.
    """
    centred = _centred(embeddings)
    rows, width = centred.shape
    product = centred @ centred.T if rows < width else centred.T @ centred
    return (product.square().sum() - centred.square().sum(0).square().sum()) / width
