"""A trained model together with the decision made on its scores."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from steelyard.decisions.tau_normalize import TauNormalize


class Adjusted(nn.Module):
    """A model whose scores pass through a decision: what a post-hoc method returns to be judged.

    The classifier of the model stays the last linear layer (decisions have none), so features are found as before; a
    `state_dict` holds the model under `model.` and the decision under `decision.`.

    Args:
        model: gives scores `[N, C]`.
        decision: scores to scores; a `TauNormalize` is told the model.

    Example:
        >>> import torch
        >>> Adjusted(nn.Identity(), nn.Softmax(1))(torch.zeros(1, 2))
        tensor([[0.5000, 0.5000]])
    """

    def __init__(self, model: nn.Module, decision: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.decision = decision.of(model) if isinstance(decision, TauNormalize) else decision

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Decided scores `[N, C]`; everything given goes to the model."""
        decided: Tensor = self.decision(self.model(*inputs, **named))
        return decided
