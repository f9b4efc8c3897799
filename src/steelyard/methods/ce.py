"""Plain cross-entropy: the method that changes nothing."""

from __future__ import annotations

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView


def ce(_task: TaskView) -> Stages:
    """Train with plain cross-entropy: what every other method is compared with.

    Formula:
        `L = -log softmax(z)_y`, all rows alike.

    Reference:
        The maximum likelihood baseline; in the literature also called ERM or softmax.

    Departures:
        none.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("ce").words
        {}
    """
    yield Stage()
