"""What to do in a step in which a weighting finds nothing to learn from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from steelyard.core.roles import Explains, Observes
from steelyard.core.rows import Evidence
from steelyard.core.weighting import Weighting


class NeverIdle(Weighting, Observes, Explains):
    """Another weighting, but rows weigh 1 in a step in which all its weights are zero; counts such steps in any case.

    Args:
        weighting: may give zeros only, as learning to re-weight does where every row's gradient opposes that of the meta set.
        uniform: false leaves the zeros.

    Attributes:
        idle: steps so far in which all weights were zero.
        steps: steps so far.

    Example:
        >>> class Zero(Weighting):
        ...     def forward(self, evidence): return torch.zeros(len(evidence.target))
        >>> NeverIdle(Zero())(Evidence(target=torch.tensor([0, 1])))
        tensor([1., 1.])
    """

    idle: Tensor
    steps: Tensor

    def __init__(self, weighting: Weighting, *, uniform: bool = True) -> None:
        super().__init__()
        self.weighting, self.uniform = weighting, uniform
        self.register_buffer("idle", torch.zeros((), dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, evidence: Evidence) -> Tensor:
        """Weights `[N]`."""
        weights: Tensor = self.weighting(evidence)
        if not self.uniform:
            return weights
        return torch.where((weights == 0).all(), torch.ones_like(weights), weights)

    def observe(self, evidence: Evidence) -> None:
        """Count the step."""
        self.steps += 1
        self.idle += (self.weighting(evidence) == 0).all()

    def explain(self) -> dict[str, Any]:
        """How many steps there were, and how many of them without a row that weighed anything."""
        return {"steps": int(self.steps), "steps_without_weight": int(self.idle)}
