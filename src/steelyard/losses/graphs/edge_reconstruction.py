"""How well embeddings tell which nodes are neighbours, beside a loss of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.loss import CrossEntropy, Loss


class EdgeDecoder(nn.Module):
    """Scores pairs of embeddings: `h_u^T S h_v`; above 0 is an edge.

    Args:
        width: of the embeddings.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.form = nn.Parameter(torch.eye(width) + 0.01 * torch.randn(width, width))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """`[e, width]` twice to scores `[e]`."""
        return ((first @ self.form) * second).sum(1)


class EdgeReconstruction(Loss):
    """Another loss plus `weight` times the mean squared error of edges predicted from embeddings.

    Edges and as many pairs drawn at random weigh the same together. The embeddings, edges and pairs come with the rows (see
    `steelyard.transforms.graphs.GraphSMOTE`); without them it is the other loss.

    Args:
        decoder: predicts.
        weight: 0 or more.
        loss: of the classes; None for cross-entropy.
        reduction: "mean", "sum" or "none".

    Raises:
        ArgumentError: a weight below 0.

    Reference:
        Zhao, Zhang, Wang: GraphSMOTE, WSDM 2021.

    Departures:
        Pairs without an edge are drawn, where the released code goes through all n^2; the error is a mean, there a sum times
        1e-6.
    """

    def __init__(self, decoder: EdgeDecoder, weight: float = 0.1, loss: Loss | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if weight < 0:
            raise ArgumentError("weight", "0 or more", weight)
        self.decoder, self.weight = decoder, weight
        self.loss = CrossEntropy() if loss is None else loss

    def rows(self, logits: Tensor, target: Tensor, **context: Any) -> Tensor:
        """Both parts together `[N]`."""
        values, beside = self.parts(logits, target, **context)
        return values if beside is None else values + beside

    def parts(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        embeddings: Tensor | None = None,
        mixed: Mapping[str, Tensor] | None = None,
        **context: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """The other loss, which a weighting weighs, and the error of the edges, which it leaves alone `[N]` each."""
        values = self.loss.rows(logits, target, **context)
        if embeddings is None or mixed is None or self.weight == 0 or mixed["old"].shape[1] == 0:
            return values, None
        (start, end), (one, other) = mixed["old"], mixed["pairs"]
        there = torch.sigmoid(self.decoder(embeddings[start], embeddings[end]))
        absent = torch.sigmoid(self.decoder(embeddings[one], embeddings[other]))
        error = (F.mse_loss(there, torch.ones_like(there)) + absent.square().mean()) / 2
        return values, (self.weight * error).expand(len(values))
