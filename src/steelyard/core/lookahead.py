"""Where an optimiser's next step would lead, and how that point moves with the gradient it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.oracle import Params

KNOWN = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)


@dataclass(frozen=True)
class Ahead:
    """A step that was not made.

    Attributes:
        params: parameters after it, by name.
        slope: derivative of each entry of `params` by the same entry of the gradient: numbers, or tensors like the parameters.
    """

    params: dict[str, Tensor]
    slope: dict[str, Tensor | float]

    def pull(self, direction: Params) -> dict[str, Tensor]:
        """The gradient of a function at `params`, taken back to the gradient that the step was made with."""
        return {name: value * self.slope[name] for name, value in direction.items()}


def look_ahead(
    optimizer: torch.optim.Optimizer | None, params: dict[str, nn.Parameter], gradients: Params, *, lr: float | None = None
) -> Ahead:
    """The step that an optimiser would make with these gradients, computed aside.

    Momentum, Nesterov momentum, dampening and weight decay are those of the optimiser (decoupled decay for AdamW). Gradient
    clipping is not part of an optimiser and is left out.

    Args:
        optimizer: SGD, Adam or AdamW; None for a plain gradient step of `lr`.
        params: where from.
        gradients: by the same names.
        lr: for a plain step; above 0.

    Raises:
        ArgumentError: another optimiser, or neither an optimiser nor `lr`.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> params = {"weight": layer.weight}
        >>> ahead = look_ahead(torch.optim.SGD(layer.parameters(), lr=0.5), params, {"weight": torch.ones(1, 1)})
        >>> torch.equal(ahead.params["weight"], layer.weight - 0.5), ahead.slope
        (True, {'weight': -0.5})
    """
    if optimizer is None:
        if lr is None:
            raise ArgumentError("lr", "a learning rate where no optimiser is known (or set `oracle.optimizer`)", None)
        moved = {name: value.detach() - lr * gradients[name] for name, value in params.items()}
        return Ahead(moved, dict.fromkeys(params, -lr))
    groups = group_of(optimizer)
    points, slopes = dict[str, Tensor](), dict[str, Tensor | float]()
    with torch.no_grad():
        for name, value in params.items():
            group, state = groups[id(value)], optimizer.state.get(value, {})
            advance = _sgd if isinstance(optimizer, torch.optim.SGD) else _adam
            points[name], slopes[name] = advance(value, gradients[name], group, state)
    return Ahead(points, slopes)


def slope_of_last_step(optimizer: torch.optim.Optimizer, params: dict[str, nn.Parameter]) -> dict[str, Tensor | float]:
    """The derivative of the parameters by the gradient of the step that was just made, from the optimiser's state after it.

    Raises:
        ArgumentError: an optimiser that is none of SGD, Adam and AdamW.
    """
    groups = group_of(optimizer)
    slopes = dict[str, Tensor | float]()
    with torch.no_grad():
        for name, value in params.items():
            group, state = groups[id(value)], optimizer.state.get(value, {})
            if isinstance(optimizer, torch.optim.SGD):
                slopes[name] = _sgd_slope(group, first=False)
            elif value.grad is None:
                slopes[name] = 0.0
            else:
                slopes[name] = _adam_slope(value.grad, group, state["exp_avg"], state["exp_avg_sq"], state["step"].double())
    return slopes


def group_of(optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Any]]:
    """The settings of each parameter, by its id; refuses an optimiser whose step is not known here."""
    if type(optimizer) not in KNOWN or any(group.get("amsgrad") or group["maximize"] for group in optimizer.param_groups):
        expected = "torch.optim.SGD, Adam or AdamW (minimising, without amsgrad), whose step can be looked ahead of"
        raise ArgumentError("optimizer", expected, type(optimizer).__name__)
    return {id(value): group for group in optimizer.param_groups for value in group["params"]}


def _sgd_slope(group: dict[str, Any], *, first: bool) -> float:
    momentum = group["momentum"]
    through = 1.0 if first or not momentum else 1.0 - group["dampening"]
    return -float(group["lr"]) * (1.0 + momentum * through if momentum and group["nesterov"] else through)


def _sgd(value: Tensor, gradient: Tensor, group: dict[str, Any], state: dict[str, Any]) -> tuple[Tensor, float]:
    update = gradient + group["weight_decay"] * value if group["weight_decay"] else gradient
    buffer = state.get("momentum_buffer")
    if group["momentum"]:
        kept = update if buffer is None else group["momentum"] * buffer + (1 - group["dampening"]) * update
        update = update + group["momentum"] * kept if group["nesterov"] else kept
    return value - group["lr"] * update, _sgd_slope(group, first=buffer is None)


def _adam(value: Tensor, gradient: Tensor, group: dict[str, Any], state: dict[str, Any]) -> tuple[Tensor, Tensor]:
    first, second = group["betas"]
    decoupled = group.get("decoupled_weight_decay", False)
    start = value * (1 - group["lr"] * group["weight_decay"]) if decoupled else value.detach()
    if group["weight_decay"] and not decoupled:
        gradient = gradient + group["weight_decay"] * value
    step = state["step"].double() + 1 if state else 1.0  # as a tensor: it may be on the device
    mean = (state["exp_avg"] if state else torch.zeros_like(value)).lerp(gradient, 1 - first)
    square = second * (state["exp_avg_sq"] if state else torch.zeros_like(value)) + (1 - second) * gradient * gradient
    scale = (square / (1 - second**step)).sqrt() + group["eps"]
    moved = start - group["lr"] * mean / (1 - first**step) / scale
    return moved, _adam_slope(gradient, group, mean, square, step)


def _adam_slope(gradient: Tensor, group: dict[str, Any], mean: Tensor, square: Tensor, step: Tensor | float) -> Tensor:
    """Of m / (sqrt(v) + eps) by g, where both moments contain g."""
    first, second = group["betas"]
    root = (square / (1 - second**step)).sqrt()
    scale = root + group["eps"]
    hat = mean / (1 - first**step)
    by_mean = (1 - first) / (1 - first**step) / scale
    by_square = hat * (1 - second) / (1 - second**step) * gradient / (root.clamp_min(1e-30) * scale * scale)
    slope: Tensor = -group["lr"] * (by_mean - torch.where(root > 0, by_square, 0.0))
    return slope
