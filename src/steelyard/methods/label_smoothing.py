"""Targets that are not quite certain."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import ClassSmoothing

SEARCH = {"smoothing": "0.02..0.3"}


def label_smoothing(task: TaskView, *, smoothing: float = 0.1) -> Stages:
    """Cross-entropy whose targets give a small part of their mass to every class, the same for all rows.

    Formula:
        `L = (1 - e) (-log p_y) + e mean_j(-log p_j)`, `p = softmax(z)`.

    Args:
        task: what is learnt.
        smoothing: e, in [0, 1); 0 is `ce`.

    Reference:
        Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the inception architecture for computer vision, CVPR 2016.

    Departures:
        none.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("label-smoothing").words
        {'loss': 'class-smoothing'}
    """
    yield Stage(Objective(ClassSmoothing(task.counts, smoothing, smoothing, "head")))
