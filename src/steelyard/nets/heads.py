"""Exchanging the classifier of a model; finding it is `steelyard.core.head`, which the loop needs too."""

from __future__ import annotations

import copy

import torch
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.core.head import Head, find_head


def with_head(model: nn.Module, head: nn.Module) -> nn.Module:
    """Put another classifier in the place of a model's last linear layer.

    The last `nn.Linear` or `NormedLinear` in module order is the one that is replaced: what `find_head` returns, and the layer
    whose input counts as the features. The model is changed in place. A layer that is used in several places is replaced in
    all of them; a weight that it shared with another layer (tied embeddings) stays with that other layer and is no longer
    shared. A model that registers a layer it does not use (an auxiliary classifier) after its classifier has to be wrapped or
    reordered first: module order cannot tell the two apart.

    Args:
        model: any model with a linear layer.
        head: the new classifier, `[N, d]` to `[N, C]`; moved to the device and dtype of the old one.

    Returns:
        The model; where the model itself is one linear layer, the new head.

    Raises:
        ArgumentError: the model has no linear layer, or `head.in_features` differs from the old head's.

    Example:
        >>> with_head(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), nn.Linear(8, 5))[2].out_features
        5
    """
    name, old = _found(model)
    expected, given = getattr(old, "in_features", None), getattr(head, "in_features", None)
    if expected is not None and given is not None and expected != given:
        raise ArgumentError("head", f"a layer for the {expected} features of the model", f"one for {given}")
    weight = next(old.parameters(), None)
    if weight is not None:
        head.to(device=weight.device, dtype=weight.dtype)
    head.train(old.training)
    if name == "":
        return head
    places = [place for place, module in model.named_modules(remove_duplicate=False) if module is old]
    for place in places:
        parent, _, attribute = place.rpartition(".")
        setattr(model.get_submodule(parent), attribute, head)
    return model


def head_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of a model's classifier, for `Stage(trainable=head_parameters)`.

    Raises:
        ArgumentError: the model has no linear layer.

    Example:
        >>> [tuple(p.shape) for p in head_parameters(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))]
        [(3, 8), (3,)]
    """
    return list(_found(model)[1].parameters())


def reset_head(model: nn.Module) -> None:
    """Draw the weights of a model's classifier anew, in place, from torch's global generator.

    The draw is made on the CPU, so that a seed gives the same weights on every device.

    Raises:
        ArgumentError: the model has no linear layer, or one that cannot draw its weights (no `reset_parameters`).

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> before = model[2].weight.clone()
        >>> reset_head(model)
        >>> bool((model[2].weight == before).any())
        False
    """
    head = _found(model)[1]
    draw = getattr(head, "reset_parameters", None)
    if draw is None:
        raise ArgumentError("model", "one whose classifier has `reset_parameters`", f"a {type(head).__name__} without it")
    fresh = copy.deepcopy(head).cpu()
    fresh.reset_parameters()  # type: ignore[operator]
    with torch.no_grad():
        for own, drawn in zip(head.parameters(), fresh.parameters(), strict=True):
            own.copy_(drawn)


def _found(model: nn.Module) -> tuple[str, nn.Linear | Head]:
    found = find_head(model)
    if found is None:
        raise ArgumentError("model", "a model with a linear layer as its classifier", f"{type(model).__name__} without one")
    return found
