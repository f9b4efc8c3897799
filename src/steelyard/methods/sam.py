"""Sharpness-aware minimisation."""

from __future__ import annotations

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.descents import SAM

SEARCH = {"rho": "log(0.01..1)"}


def sam(task: TaskView, *, rho: float = 0.05, adaptive: bool = False) -> Stages:
    """Take the gradient at the worst point nearby, so that training ends in a flat minimum.

    Formula:
        `theta <- theta - lr * grad L(theta + eps)`, `eps = rho * grad L(theta) / |grad L(theta)|`; adaptive:
        `eps = rho * theta^2 grad L / |theta grad L|`, entry by entry. A step costs two.

    Args:
        task: what is learnt.
        rho: how far, 0 or more. Helps rare classes where they are weighted (`sam+drw`, `sam+la`), and may then be larger.
        adaptive: measure lengths relative to the parameters; takes a rho about ten times as large.

    Reference:
        Foret, Kleiner, Mobahi, Neyshabur: Sharpness-aware minimization for efficiently improving generalization, ICLR 2021.

    Departures:
        BatchNorm counts a batch once, where ports count it twice.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("sam").words
        {'descent': 'sam'}
    """
    yield Stage(descent=SAM(rho, adaptive=adaptive))
