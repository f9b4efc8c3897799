"""Networks with the operators that differentiate differently: convolutions with BatchNorm, attention, graphs, adapters."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """A vision transformer of one block, with scaled-dot-product attention and dropout."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 16, 4, 4), nn.LayerNorm(16)
        self.project, self.out, self.drop = nn.Linear(16, 48), nn.Linear(16, 16), nn.Dropout(0.2)
        self.head = nn.Linear(16, classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        query, key, value = self.project(self.norm(tokens)).reshape(len(tokens), -1, 3, 2, 8).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=0.1 if self.training else 0.0)
        tokens = tokens + self.drop(self.out(mixed.transpose(1, 2).flatten(2)))
        return self.head(tokens.mean(1))


class Convolution(nn.Module):
    """Two convolutions with BatchNorm."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.head = nn.Linear(8, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).mean((2, 3)))


class Graph(nn.Module):
    """Two graph convolutions over nodes with a fixed adjacency; the inputs are the features of all nodes."""

    def __init__(self, nodes: int, classes: int = 3) -> None:
        super().__init__()
        stream = torch.Generator().manual_seed(5)
        near = (torch.rand(nodes, nodes, generator=stream) < 0.3).float()
        near = ((near + near.T + torch.eye(nodes)) > 0).float()
        self.register_buffer("spread", near / near.sum(1, keepdim=True))
        self.first, self.head = nn.Linear(5, 8), nn.Linear(8, classes)

    def forward(self, features: Tensor) -> Tensor:
        spread = self.spread[: len(features), : len(features)].to(features.dtype)
        hidden = torch.sparse.mm(spread.to_sparse(), self.first(features)) if features.dtype == torch.float32 else None
        hidden = spread @ self.first(features) if hidden is None else hidden
        return self.head(spread @ F.elu(hidden))


class Adapted(nn.Module):
    """A frozen layer with a low-rank adapter, and a classifier."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.base = nn.Linear(5, 12).requires_grad_(False)
        self.down, self.up = nn.Linear(5, 2, bias=False), nn.Linear(2, 12, bias=False)
        self.head = nn.Linear(12, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.base(inputs) + self.up(self.down(inputs))))


class Recurrent(nn.Module):
    """An LSTM, whose fused kernel has no forward-mode rule."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(5, 6, batch_first=True), nn.Linear(6, classes)

    def forward(self, series: Tensor) -> Tensor:
        return self.head(self.cell(series)[0][:, -1])


def encoder(classes: int = 3) -> nn.Module:
    """torch's own transformer layer, which has a fused path of its own in evaluation mode."""

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, classes)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.layer(tokens).mean(1))

    return Encoder()
