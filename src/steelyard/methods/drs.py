"""Balanced sampling that begins late in training."""

from __future__ import annotations

from functools import partial

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.samplers import DeferredSampler

SEARCH = {"after": "0.5..0.9"}


def drs(_task: TaskView, *, after: float = 0.8) -> Stages:
    """Draw the data as they are at first, and every class equally often in the last epochs: deferred re-sampling.

    Formula:
        shuffled rows before the fraction `after` of the epochs; then a row of class c with probability `1 / (C n_c)`; plain
        cross-entropy throughout.

    Args:
        _task: not looked at; the sampler is given the training labels.
        after: fraction of the epochs after which classes are balanced, in [0, 1]; at least five epochs are needed for 0.8 to
            be reached.

    Reference:
        Cao, Wei, Gaidon, Arechiga, Ma: Learning imbalanced datasets with label-distribution-aware margin loss, NeurIPS 2019.

    Departures:
        The switch is a fraction of the epochs; in the released code it is epoch 160.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("drs").words
        {'sampler': 'deferred(after=0.8)'}
    """
    yield Stage(sampler=partial(DeferredSampler, after=after))
