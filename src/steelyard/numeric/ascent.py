"""Steps uphill in parameter space: how far, and in which direction, sharpness-aware methods go before they look back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FLOOR = 1e-12
"""Added to the length of a gradient before it is divided by: a gradient of zeros gives a step of zeros."""


def length(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean length of tensors taken as one vector, a scalar of at least float32; they may lie on several devices.

    Example:
        >>> length([torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])])
        tensor(5.)
    """
    wide = torch.promote_types(torch.float32, max((value.dtype for value in tensors), key=lambda dtype: dtype.itemsize))
    parts = torch._foreach_norm([value.to(wide) for value in tensors])
    whole: Tensor = torch.stack([part.to(parts[0].device) for part in parts]).norm()
    return whole


def uphill(gradients: Sequence[Tensor], rho: float | Tensor) -> list[Tensor]:
    """`rho * g / |g|`: the step of length rho along a gradient.

    Args:
        gradients: one tensor a parameter; the length is that of all of them together.
        rho: 0 or more.

    Example:
        >>> uphill([torch.tensor([3.0]), torch.tensor([4.0])], 0.5)
        [tensor([0.3000]), tensor([0.4000])]
    """
    return stretched(gradients, rho / (length(gradients) + FLOOR))


def uphill_by_size(gradients: Sequence[Tensor], params: Sequence[Tensor], rho: float) -> list[Tensor]:
    """`rho * p^2 g / |p g|`, entry by entry: large parameters move further, and rescaling a layer does not change the step.

    Args:
        gradients: one tensor a parameter.
        params: the parameters; those that are zero do not move.
        rho: length of the step divided by the parameters, 0 or more.

    Example:
        >>> uphill_by_size([torch.tensor([1.0, 1.0])], [torch.tensor([2.0, 0.0])], 0.5)
        [tensor([1., 0.])]
    """
    scaled = torch._foreach_mul(list(gradients), list(params))
    return list(torch._foreach_mul(uphill(scaled, rho), list(params)))


def stretched(values: Sequence[Tensor], factor: Tensor) -> list[Tensor]:
    """Every tensor times one scalar, on its own device and in its own type."""
    factors = {device: factor.to(device) for device in {value.device for value in values}}
    if len(factors) == 1:
        return [moved.to(value.dtype) for moved, value in zip(torch._foreach_mul(list(values), factor), values, strict=True)]
    return [(value * factors[value.device]).to(value.dtype) for value in values]


def class_radius(weight_length: Tensor, gradient_length: Tensor, perturbed: int, class_size: Tensor) -> Tensor:
    """The length of a class's step that a PAC-Bayes bound asks for: shorter for larger classes.

    `k^(1/4) * (|w| / (2 |g_c|))^(1/2) * (n_c - 1)^(-1/4)`, which is `sqrt(k)` times the paper's radius; 0 where there is no
    gradient.

    Args:
        weight_length: |w|, length of what is moved, a scalar.
        gradient_length: |g_c|, any shape.
        perturbed: k, how many numbers are moved.
        class_size: n_c, like `gradient_length`; a class of one row counts as one of two.

    Example:
        >>> class_radius(torch.tensor(2.0), torch.tensor([1.0, 1.0]), 16, torch.tensor([2, 17]))
        tensor([2., 1.])
    """
    sizes = (class_size.to(gradient_length.dtype) - 1).clamp_min(1)
    ratio = weight_length / (2 * gradient_length.clamp_min(FLOOR))
    return torch.where(gradient_length > FLOOR, perturbed**0.25 * ratio.sqrt() * sizes**-0.25, 0.0)
