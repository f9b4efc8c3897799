"""A learnable scale for the scores of each class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.loss import check_classes, upcast


class ScaledScores(nn.Module):
    """Multiply the scores of each class by a factor that is learnt: learnable weight scaling.

    Formula:
        `z_c <- s_c * z_c`, with `z_c = <w_c, h> + b_c` for a model that ends in a linear layer; `s` starts at 1.

    Args:
        model: gives scores `[N, C]`; its last linear layer stays the classifier.
        num_classes: C, 1 or more.

    Shape:
        scores `[N, C]`, at least float32.

    Raises:
        ArgumentError: `num_classes` is below 1, or the scores have not C columns.

    Reference:
        Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis: Decoupling representation and classifier for long-tailed recognition,
        ICLR 2020.

    Example:
        >>> scaled = ScaledScores(nn.Linear(4, 3), 3)
        >>> scaled.scale
        Parameter containing:
        tensor([1., 1., 1.], requires_grad=True)
    """

    def __init__(self, model: nn.Module, num_classes: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ArgumentError("num_classes", "1 or more", num_classes)
        self.model = model
        weight = next((value for value in model.parameters() if value.is_floating_point()), torch.empty(0))
        dtype = torch.promote_types(weight.dtype, torch.float32)
        self.scale = nn.Parameter(torch.ones(num_classes, device=weight.device, dtype=dtype))

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Scaled scores `[N, C]`; everything given goes to the model."""
        scores: Tensor = self.model(*inputs, **named)
        check_classes(scores, len(self.scale))
        return upcast(scores) * self.scale
