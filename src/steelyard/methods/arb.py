"""Attraction and repulsion of classifier rows in balance."""

from __future__ import annotations

from typing import Literal

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import ARB

SEARCH = {"counts": "batch|global"}


def arb(task: TaskView, *, counts: Literal["batch", "global"] = "batch") -> Stages:
    """ARB-Loss: Balanced Softmax with the class sizes of the mini-batch.

    Formula:
        `L = -log( exp(z_y) / sum_j (k_j / k_y) exp(z_j) )`, k_j the rows of class j in the batch.

    Args:
        task: what is learnt.
        counts: "batch", or "global" for class sizes of the training split, which is `balanced-softmax`.

    Reference:
        Xie, Yang, Cai, He: Class-imbalanced semantic segmentation and classification with attraction-repulsion-balanced loss,
        Neurocomputing 527, 2023.

    Departures:
        Log-sum-exp instead of exponentials of clamped scores, so gradients do not end at |z| = 30. The shipped settings for
        large data sets use global counts.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("arb").words
        {'loss': 'arb'}
    """
    yield Stage(Objective(ARB(task.counts if counts == "global" else None)))
