"""Density ratios by least squares: how rows should be weighed so that the mean feature of their class meets a prototype."""

from __future__ import annotations

import torch
from torch import Tensor

from steelyard.numeric.by_class import class_totals, widened

SMALL_RIDGE = 1e-8
"""Below it a Cholesky factor may fail in float64, and singular values are used instead."""

MASKED_ROWS_CPU = 512
MASKED_ROWS = 4096
"""Rows up to which all classes are one masked system; beyond, class by class, which is cheaper but has to know sizes."""


def density_ratio(
    features: Tensor, prototypes: Tensor, target: Tensor, *, ridge: float = 0.1, share: Tensor | None = None
) -> Tensor:
    """Ratios `[N]`: with them as weights, the mean feature of each class comes as near to its prototype as the ridge allows.

    Formula:
        for each class with features `Phi` `[d, b]` and prototype `F` `[d]`: the r that minimises
        `||Phi r / b - F||^2 + (lambda / b^2) ||r||^2`, that is `r = b (Phi^T Phi + lambda I)^-1 Phi^T F`,
        with `lambda = ridge * trace(Phi^T Phi) / b`. A row of share s counts as s rows.

    Nothing waits for the device, with up to `MASKED_ROWS` rows and a ridge of at least `SMALL_RIDGE`; otherwise class sizes
    are read once. Solved in float64 whatever comes in, also under autocast.

    Args:
        features: `[N, d]`.
        prototypes: of the class of each row `[N, d]`.
        target: class of each row `[N]`.
        ridge: 0 or more; 0 is least squares itself, and of all solutions the shortest where there are several.
        share: how much each row counts `[N]`; None where each counts 1.

    Returns:
        `[N]` in the dtype of the features; not clamped. 1 where all features of a class are 0, and for rows of share 0.

    Example:
        >>> rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
        >>> aims = torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.0, 1.0]])
        >>> density_ratio(rows, aims, torch.tensor([0, 0, 1]), ridge=0.0)
        tensor([1.2000, 0.8000, 0.5000])
    """
    with torch.autocast(features.device.type, enabled=False):
        wide, aim = widened(features), widened(prototypes)
        counted = torch.ones_like(wide[:, 0]) if share is None else share.to(wide.dtype)
        root = counted.sqrt()
        size = class_totals(counted, target)
        rows = wide * root[:, None]
        most = MASKED_ROWS_CPU if features.device.type == "cpu" else MASKED_ROWS
        masked = len(target) <= most and ridge >= SMALL_RIDGE
        solved = (_masked if masked else _class_by_class)(rows, aim, target, size, ridge)
        return torch.where(root > 0, solved / root, 1.0).to(features.dtype)


def _masked(rows: Tensor, aim: Tensor, target: Tensor, size: Tensor, ridge: float) -> Tensor:
    """One system `[N, N]` for all classes: without the products between classes its factor never mixes them."""
    gram = (rows @ rows.mT).masked_fill(target[:, None] != target, 0)
    trace = class_totals(gram.diagonal(), target)
    shift = torch.where(trace > 0, ridge * trace / size, 1.0)
    factor = torch.linalg.cholesky_ex(gram + shift.diag())[0]
    solution = torch.cholesky_solve((rows * aim).sum(1, keepdim=True), factor)[:, 0]
    return torch.where(trace > 0, size * solution, 1.0)


def _class_by_class(rows: Tensor, aim: Tensor, target: Tensor, size: Tensor, ridge: float) -> Tensor:
    """One small system a class; classes of similar size are solved together, padded with rows of zeros."""
    _, inverse, counts = torch.unique(target, return_inverse=True, return_counts=True)
    order = inverse.argsort(stable=True)
    start = counts.cumsum(0) - counts
    doublings = counts.double().log2().ceil().long()
    ratio = torch.ones_like(size)
    for doubling in doublings.unique().tolist():  # as many rounds as the largest class has bits
        chosen = (doublings == doubling).nonzero().flatten()
        within = torch.arange(int(counts[chosen].max()), device=target.device)
        real = within < counts[chosen, None]
        found = order[(start[chosen, None] + within).clamp_max(len(target) - 1)]
        block, first = rows[found] * real[:, :, None], found[:, 0]
        ratio[found[real]] = _blocks(block, aim[first], size[first], ridge)[real]
    return ratio


def _blocks(block: Tensor, aim: Tensor, size: Tensor, ridge: float) -> Tensor:
    """Solutions `[k, w]` for blocks of rows `[k, w, d]`, in the smaller of the two spaces."""
    width, depth = block.shape[1:]
    trace = block.square().sum((1, 2))
    shift = torch.where(trace > 0, ridge * trace / size, 1.0)
    if ridge < SMALL_RIDGE:
        left, scale, right = torch.linalg.svd(block, full_matrices=False)
        smallest = max(width, depth) * torch.finfo(scale.dtype).eps * scale[:, :1]
        gain = torch.where(scale > smallest, scale / (scale.square() + shift[:, None]), 0.0)
        solution = left @ (gain[:, :, None] * (right @ aim[:, :, None]))
    elif width <= depth:
        solution = _ridged(block @ block.mT, shift, block @ aim[:, :, None])
    else:
        solution = block @ _ridged(block.mT @ block, shift, aim[:, :, None])
    return torch.where(trace[:, None] > 0, size[:, None] * solution[:, :, 0], 1.0)


def _ridged(gram: Tensor, shift: Tensor, right: Tensor) -> Tensor:
    eye = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    return torch.cholesky_solve(right, torch.linalg.cholesky_ex(gram + shift[:, None, None] * eye)[0])
