"""What the sharpness-aware descents share: gradients of every parameter, a point beside the parameters, and the way back.

Nothing here moves a parameter. The model is evaluated at other values (`oracle(batch, at=...)`), so its parameters keep every
bit, also where an evaluation fails half way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.objective import Evaluation


def check_radius(rho: object, argument: str = "rho") -> float:
    """Refuse a radius that is none.

    Raises:
        ArgumentError: negative, not finite or no number.
    """
    if isinstance(rho, bool) or not isinstance(rho, int | float) or not (rho >= 0 and math.isfinite(rho)):
        raise ArgumentError(argument, "a finite number, 0 or more", repr(rho))
    return float(rho)


def gradients_of(loss: Tensor, params: Iterable[Tensor], *, retain_graph: bool = False) -> list[Tensor]:
    """The gradient by each parameter; zeros where the loss does not depend on it. `.grad` is left alone."""
    found = torch.autograd.grad(loss, list(params), retain_graph=retain_graph, materialize_grads=True)
    return list(found)


def moved(params: Mapping[str, Tensor], steps: Sequence[Tensor]) -> dict[str, Tensor]:
    """Leaves at `params + steps`, by the same names."""
    there = torch._foreach_add([value.detach() for value in params.values()], list(steps))
    return {name: value.requires_grad_() for name, value in zip(params, there, strict=True)}


def settle(params: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> None:
    """Add the gradients that gathered at the leaves `there` to `.grad` of the parameters, as `backward` would have."""
    add_gradients(params.values(), [value.grad for value in there.values()])


@torch.no_grad()
def add_gradients(params: Iterable[Tensor], gradients: Iterable[Tensor | None]) -> None:
    """Add to `.grad`, making it where there is none, in the parameter's own layout; None adds nothing."""
    for value, gradient in zip(params, gradients, strict=True):
        if gradient is None:
            continue
        if value.grad is not None:
            value.grad.add_(gradient)
        elif gradient.stride() == value.stride():
            value.grad = gradient.detach()
        else:
            value.grad = torch.empty_like(value).copy_(gradient)


def same_weights(evaluation: Evaluation) -> Tensor | float:
    """The weights of an evaluation, for another one of the same rows: the weighting is asked once a step."""
    return 1.0 if evaluation.weights is None else evaluation.weights
