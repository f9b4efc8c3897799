"""Sharpness-aware minimisation for rare classes."""

from __future__ import annotations

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.descents import ImbSAM

SEARCH = {"rho": "log(0.01..1)", "tail": "few|medium+few", "factor": "1|2"}


def imb_sam(
    task: TaskView, *, rho: float = 0.05, tail: int | float | str = "few", factor: float = 1.0, whole: bool = False
) -> Stages:
    """SAM for the rare classes, plain descent for the others: ImbSAM.

    Formula:
        `theta <- theta - lr * (grad L_head(theta) + factor * grad L_tail(theta + eps))`,
        `eps = rho * grad L_tail(theta) / |grad L_tail(theta)|`. A step costs about 1 + 4/3 * (share of tail rows).

    Args:
        task: what is learnt.
        rho: how far, 0 or more.
        tail: a group ("few", "medium+few"); classes with fewer rows than a whole number; or the rarest classes that hold a
            share of the rows in [0, 1], written with a point.
        factor: what the tail's loss is multiplied by, 0 or more; 2 as released.
        whole: score the whole batch again, which is exact with BatchNorm and costs 8/3.

    Reference:
        Zhou, Qu, Xu, Shen: ImbSAM: a closer look at sharpness-aware minimization in class-imbalanced recognition, ICCV 2023.

    Departures:
        The released code has the factor 2 and the threshold 20 fixed; 20 selects no class of CIFAR-10-LT, and nothing then
        differs from plain training. Only tail rows are scored again; see the descent `imb-sam`.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("imb-sam(tail=20)").words
        {'descent': 'imb-sam'}
    """
    yield Stage(descent=ImbSAM(task.counts, rho, tail, factor=factor, whole=whole))
