"""A scale for each class's score, learnt on balanced rows."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.methods._classifier import check_epochs, held
from steelyard.nets import ScaledScores
from steelyard.samplers import BalancedSampler

SEARCH = {"head_epochs": "2|5|10", "freeze_statistics": "true|false"}


def lws(task: TaskView, *, head_epochs: int = 5, freeze_statistics: bool = True) -> Steps:
    """Train on the data as they are, then learn one factor for the scores of each class on balanced rows: LWS.

    Formula:
        stage 1: plain cross-entropy on shuffled rows; stage 2: `z_c <- s_c * (<w_c, h> + b_c)`, only `s` is learnt, from 1, by
        plain cross-entropy, a row of class c with probability `1 / (C n_c)`.

    Args:
        task: what is learnt.
        head_epochs: length of stage 2, 0 or more; it has a learning-rate schedule of its own, that of the regime.
        freeze_statistics: keep the BatchNorm statistics of stage 1; false lets them move to those of balanced rows.

    Reference:
        Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis: Decoupling representation and classifier for long-tailed recognition,
        ICLR 2020.

    Departures:
        As for `crt`: statistics stay by default, and an epoch draws as many rows as there are. The factors multiply whatever
        scores the model gives, so any model will do.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("lws").words
        {'sampler': 'balanced (stage 2)', 'stages': '2'}
    """
    check_epochs("head_epochs", head_epochs, least=0)
    scaled = ScaledScores((yield Stage()), task.num_classes)

    def factors(_model: nn.Module) -> Iterable[nn.Parameter]:
        return [scaled.scale]

    yield Stage(sampler=BalancedSampler, trainable=factors, epochs=head_epochs, model=held(scaled, freeze_statistics))
    return scaled
