"""Sharpness-aware minimisation that leans towards rare classes."""

from __future__ import annotations

from typing import Literal

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.descents import AsymmetricSAM

SEARCH = {"rho": "log(0.01..0.5)", "power": "0..1"}


def sam_a(
    task: TaskView,
    *,
    rho: float = 0.05,
    power: float | None = None,
    form: Literal["described", "released"] = "described",
) -> Stages:
    """SAM that climbs further for rare classes, which pushes the decision boundary away from them: SAM-A.

    Formula:
        `theta <- theta - lr * grad L(theta + eps)`; described: `eps = sum_c rho * (n_max / n_c) ** power * g_c / |g|`, g_c the
        part of the gradient g that class c makes; released: `eps = rho * a / |a|`, `a = sum_c (n_max / n_c) ** power * g_c`.

    Args:
        task: what is learnt.
        rho: how far for the largest class, 0 or more.
        power: how much more for rarer classes, 0 or more; none for 0.25 (described) or 1 (released).
        form: "described" or "released".

    Reference:
        Shwartz-Ziv, Goldblum, Li, Bruss, Wilson: Simplifying neural network training under class imbalance, NeurIPS 2023.

    Departures:
        A reconstruction of the paper's words, which have no formula; the released code, which cannot run as it is, tilts the
        direction and leaves the length.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("sam-a").words
        {'descent': 'asymmetric-sam'}
    """
    yield Stage(descent=AsymmetricSAM(task.counts, rho, power=power, form=form))
