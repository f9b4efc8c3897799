"""Take the size of a class's weight vector out of its score."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.head import find_head
from steelyard.core.loss import check_classes, upcast
from steelyard.decisions._arrays import as_number

FLOOR = 1e-6
"""Norms below this share of the largest are treated as this, so that a class whose weights are zero has the score 0."""


class TauNormalize(nn.Module):
    """Decide with a classifier whose rows are divided by a power of their norm: tau-normalisation.

    In training on long tails the weights of frequent classes grow larger, and with them their scores.

    Formula:
        `z_c <- (z_c - b_c) / |w_c| ** tau`, which are the scores of the classifier `w_c / |w_c| ** tau` without bias; with
        `keep_bias`, `b_c` is added again.

    Use `Adjusted(model, TauNormalize(tau))`, or `TauNormalize(tau).of(model)` on the model's scores. Norms and bias are read
    off the model's last linear layer at every call, so other weights may be loaded into it.

    Args:
        tau: 0 or more; 0 drops the bias and no more, 1 gives all classes weights of the same norm.
        keep_bias: leave the bias as it is.

    Shape:
        scores `[N, C]` to scores `[N, C]`, at least float32.

    Raises:
        ArgumentError: `tau` is negative or not finite, or the scores have not C columns.
        CombinationError: the model does not end in an `nn.Linear`.

    Reference:
        Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis: Decoupling representation and classifier for long-tailed recognition,
        ICLR 2020.

    Departures:
        A norm is at least a millionth of the largest one; the released code divides by zero where a row is zero.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> _ = model.load_state_dict({"weight": torch.tensor([[4.0, 0.0], [0.0, 1.0]]), "bias": torch.tensor([1.0, 0.0])})
        >>> TauNormalize(1.0).of(model)(model(torch.tensor([[0.5, 0.8]])))
        tensor([[0.5000, 0.8000]], grad_fn=<DivBackward0>)
    """

    def __init__(self, tau: float = 1.0, *, keep_bias: bool = False) -> None:
        super().__init__()
        self.tau = as_number(tau, "tau", "a finite number, 0 or more", lambda value: 0 <= value < math.inf)
        self.keep_bias = bool(keep_bias)
        # In a tuple, so that it is no submodule: its weights belong to the model's state, and its head is the model's.
        self._model: tuple[nn.Module, ...] = ()

    def of(self, model: nn.Module) -> TauNormalize:
        """Take norms and bias from the classifier of this model; returns the decision itself.

        Raises:
            CombinationError: it does not end in an `nn.Linear`.
        """
        linear_head(model)
        self._model = (model,)
        return self

    def forward(self, logits: Tensor) -> Tensor:
        """Normalised scores `[N, C]`."""
        if not self._model:
            raise ArgumentError("decision", "TauNormalize(tau).of(model), or put into Adjusted(model, decision)", "no model")
        head = linear_head(self._model[0])
        check_classes(logits, head.out_features)
        scores = upcast(logits)
        norms = head.weight.detach().to(scores.dtype).norm(dim=1)
        largest = norms.max()
        scale = torch.where(largest > 0, norms.clamp_min(FLOOR * largest), 1.0) ** self.tau
        bias = cast("Tensor | None", head.bias)
        if bias is None:
            return scores / scale
        bias = bias.detach().to(scores.dtype)
        normalised = (scores - bias) / scale
        return normalised + bias if self.keep_bias else normalised

    def extra_repr(self) -> str:
        """Shown by print(decision)."""
        return f"tau={self.tau}, keep_bias={self.keep_bias}"


def linear_head(model: nn.Module) -> nn.Linear:
    """The classifier of a model, where it is an `nn.Linear`.

    Raises:
        CombinationError: the last linear layer is something else, or there is none.
    """
    found = find_head(model)
    if found is None:
        raise CombinationError(
            f"tau-normalisation divides the rows of a classifier by their norms, and {type(model).__name__} has no linear "
            "layer: end the model in an nn.Linear"
        )
    if not isinstance(found[1], nn.Linear):
        raise CombinationError(
            f"tau-normalisation divides the rows of a linear classifier by their norms, and the scores of the "
            f"{type(found[1]).__name__} that {type(model).__name__} ends in are not proportional to them: end the model in an "
            "nn.Linear"
        )
    return found[1]
