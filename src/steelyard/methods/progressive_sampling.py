"""From the data as they are to balance, epoch by epoch."""

from __future__ import annotations

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.samplers import ProgressiveSampler


def progressive_sampling(_task: TaskView) -> Stages:
    """Draw the data as they are at first and every class equally often at last.

    Formula:
        class c is drawn with probability `(1 - t) * n_c / N + t / C`, t = epoch / epochs; plain cross-entropy.

    Args:
        _task: not looked at; the sampler is given the training labels.

    Reference:
        Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis: Decoupling representation and classifier for long-tailed recognition,
        ICLR 2020.

    Departures:
        none.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("progressive-sampling").words
        {'sampler': 'progressive'}
    """
    yield Stage(sampler=ProgressiveSampler)
