"""Weights by group."""

from __future__ import annotations

import torch

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.core.weighting import ClassTable
from steelyard.methods.verification._groups import groups_of

SEARCH = {"power": "0.25..1"}


def group_weights(task: TaskView, *, power: float = 1.0) -> Stages:
    """Cross-entropy in which every group of identities counts the same, however many pictures it has.

    Formula:
        `L = mean_i w_g CE(z_i, y_i)`, `w_g` proportional to `N_g^-power`, N_g the training pictures of the group of identity y.

    Args:
        task: what is learnt.
        power: 0 or more; 1 makes groups count alike, 0 is `ce`.

    Raises:
        CombinationError: the data are no pictures to verify, or their identities are in no groups.

    Reference:
        Classical.

    Departures:
        None.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("group-weights").of
        'verification'
    """
    groups = groups_of(task, "group-weights")
    sizes = torch.bincount(groups, weights=task.counts.double())[groups]
    yield Stage(Objective(weighting=ClassTable(sizes.clamp_min(1) ** -power)))
