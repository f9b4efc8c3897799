"""Sampling by group."""

from __future__ import annotations

from torch import Tensor

from steelyard.core.sampler import Sampler
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.methods.verification._groups import groups_of
from steelyard.samplers import BalancedSampler


def group_sampling(task: TaskView) -> Stages:
    """Draw groups of identities equally often, and within a group every picture: the counterpart of balanced sampling.

    Formula:
        a picture of an identity of group g is drawn with probability `1 / (G N_g)`, N_g the training pictures of the group.

    Args:
        task: what is learnt.

    Raises:
        CombinationError: the data are no pictures to verify, or their identities are in no groups.

    Reference:
        Classical.

    Departures:
        None.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("group-sampling").of
        'verification'
    """
    groups = groups_of(task, "group-sampling")

    def by_group(targets: Tensor, *, seed: int, rank: int, world_size: int) -> Sampler:
        return BalancedSampler(groups[targets], seed=seed, rank=rank, world_size=world_size)

    yield Stage(sampler=by_group)
