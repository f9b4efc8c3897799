"""What the descents that perturb at the classifier share: which layer it is, and how the loss pulls at what it says."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.func import functional_call

from steelyard.core.errors import CombinationError
from steelyard.core.head import Head, find_head
from steelyard.core.objective import Evaluation
from steelyard.core.oracle import Oracle, Params
from steelyard.numeric.ascent import FLOOR
from steelyard.numeric.by_class import class_totals


def classifier_of(oracle: Oracle, evaluation: Evaluation, wanted: str, instead: str) -> nn.Linear | Head:
    """The layer that was given the features of the rows and says their logits.

    Args:
        oracle: whose model it is in.
        evaluation: of a batch, at the current parameters.
        wanted: what it is needed for, the first part of the message.
        instead: what to use otherwise, the last part.

    Raises:
        CombinationError: there is none, or what goes into it is not one vector a row.
    """
    found, features, logits = find_head(oracle.model), evaluation.rows.features, evaluation.rows.logits
    if found is not None and features is not None:
        head = found[1]
        if features.shape == (len(logits), head.in_features) and logits.shape[1] == head.out_features:
            return head
    raise CombinationError(
        f"{wanted}, and {type(oracle.model).__name__} does not end in a linear layer that is given one vector of features a "
        f"row: end the model in an nn.Linear, or use {instead}"
    )


def class_pulls(oracle: Oracle, evaluation: Evaluation) -> Tensor:
    """The gradient of the mean loss of each row's class by the row's logits `[N, C]`, rows weighted as in the objective."""
    rows = evaluation.rows
    logits = rows.logits.detach()
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32)).requires_grad_()
    features = None if rows.features is None else rows.features.detach()
    losses = oracle.objective.losses(dataclasses.replace(rows, logits=logits, features=features), evaluation.clock)
    counted = torch.ones_like(losses) if rows.share is None else rows.share.to(losses.dtype)
    counted = counted if evaluation.weights is None else counted * evaluation.weights
    mean = counted.detach() / class_totals(counted.detach(), rows.target).clamp_min(FLOOR)
    (pulls,) = torch.autograd.grad((mean * losses).sum(), logits)
    return pulls


def scores_of(head: nn.Module, params: Params, features: Tensor) -> Tensor:
    """What a classifier with these parameters says of features `[N, d]`, in their type."""
    wide = {name: value.to(features.dtype) for name, value in params.items()}
    found: Tensor = functional_call(head, wide, (features,))
    return found
