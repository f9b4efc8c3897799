"""Softmax over scores weighted by class size."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import BalancedSoftmax


def balanced_softmax(task: TaskView) -> Stages:
    """Balanced Softmax: class sizes inside the softmax in training, none when deciding.

    Formula:
        `L = -log( n_y exp(z_y) / sum_j n_j exp(z_j) )`: the same as `la` with tau = 1.

    Args:
        task: what is learnt.

    Reference:
        Ren, Yu, Sheng, Ma, Zhao, Yi, Li: Balanced meta-softmax for long-tailed visual recognition, NeurIPS 2020.

    Departures:
        The meta sampler of the paper is not part of it. A class never seen counts as one row.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("balanced-softmax").words
        {'loss': 'balanced-softmax'}
    """
    yield Stage(Objective(BalancedSoftmax(task.counts)))
