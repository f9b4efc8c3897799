"""Every class is drawn equally often."""

from __future__ import annotations

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.samplers import BalancedSampler


def balanced_sampling(_task: TaskView) -> Stages:
    """Draw every class equally often.

    Formula:
        a row of class c is drawn with probability `1 / (C n_c)`; plain cross-entropy.

    Args:
        _task: not looked at; the sampler is given the training labels.

    Reference:
        Classical; class-balanced sampling in Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis: Decoupling representation and
        classifier for long-tailed recognition, ICLR 2020.

    Departures:
        none; an epoch draws as many rows as there are.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("balanced-sampling").words
        {'sampler': 'balanced'}
    """
    yield Stage(sampler=BalancedSampler)
