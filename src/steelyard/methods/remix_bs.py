"""Remix with Balanced Softmax."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import BalancedSoftmax
from steelyard.transforms import Remix
from steelyard.transforms.remix import Rule

SEARCH = {"alpha": "log(0.1..2)", "rule": "remix|mamix"}


def remix_bs(task: TaskView, *, alpha: float = 1.0, rule: Rule = "remix") -> Stages:
    """Balanced Softmax on blends of two rows in which the rarer class may take the whole label.

    Formula:
        `L = m * BS(z, y_i) + (1 - m) * BS(z, y_j)` at `x = lam * x_i + (1 - lam) * x_j`; `m` as in `remix`, BS as in
        `balanced-softmax`.

    Args:
        task: its class counts are used.
        alpha: 0 or more, see `remix`.
        rule: "remix" or "mamix", see `remix`.

    Reference:
        Zhang, Wei, Zhou, Wu: Bag of tricks for long-tailed visual recognition with deep convolutional neural networks, AAAI
        2021, which compares such pairs; Remix by Chou et al., Balanced Softmax by Ren et al., 2020.

    Departures:
        none.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("remix-bs").words
        {'loss': 'balanced-softmax', 'transform': 'remix'}
    """
    yield Stage(Objective(BalancedSoftmax(task.counts)), transform=Remix(task.counts, alpha, rule=rule))
