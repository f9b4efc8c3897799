"""An exponential moving average of a model's weights, updated after every step and judged in the model's place."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Keeps `average <- decay * average + (1 - decay) * model`, buffers included; counters are copied.

    Args:
        model: followed from its current weights on.
        decay: in (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._rate = 1.0 - decay
        own, followed = self.model.state_dict(), model.state_dict(keep_vars=True)
        floating = [name for name, value in own.items() if value.is_floating_point()]
        self._own: list[Tensor] = [own[name] for name in floating]
        self._followed: list[Tensor] = [followed[name].detach() for name in floating]
        self._counters = [(own[name], followed[name]) for name in own if name not in set(floating)]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the followed model's weights after a step."""
        torch._foreach_lerp_(self._own, self._followed, self._rate)
        for own, followed in self._counters:
            own.copy_(followed)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights."""
        return dict(self.model.state_dict())
