"""Classes are drawn by the square root of their size."""

from __future__ import annotations

from functools import partial

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.samplers import PowerSampler

SEARCH = {"power": "0..0.9"}


def sqrt_sampling(_task: TaskView, *, power: float = 0.5) -> Stages:
    """Draw classes by the square root of their size: half-way between the data as they are and balance.

    Formula:
        class c is drawn with probability proportional to `n_c ** power`, then one of its rows; plain cross-entropy.

    Args:
        _task: not looked at; the sampler is given the training labels.
        power: 1 draws the data as they are (with replacement), 0 balances.

    Reference:
        Mahajan, Girshick, Ramanathan, He, Paluri, Li, Bharambe, van der Maaten: Exploring the limits of weakly supervised
        pretraining, ECCV 2018; as square-root sampling in Kang et al., ICLR 2020.

    Departures:
        none.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("sqrt-sampling").words
        {'sampler': 'power(power=0.5)'}
    """
    yield Stage(sampler=partial(PowerSampler, power=power))
