"""Logit adjustment of the general cross-entropy family."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import GeneralizedLogitAdjusted

SEARCH = {"q": "0..0.7"}


def gla(task: TaskView, *, q: float = 0.1, tau: float | None = None) -> Stages:
    """Generalized logit adjustment: the log-prior inside a loss between cross-entropy and mean absolute error.

    Formula:
        `L = (1 - u ** q) / q` with `u = softmax(z + tau * log pi)_y`, and `-log u` for q = 0; decide by `argmax z`.

    Args:
        task: what is learnt.
        q: in [0, 1); 0 is `la`. Larger values forgive rows that are badly wrong (label noise) and learn more slowly.
        tau: strength; none for 1 / (1 - q), the value that is consistent for balanced accuracy.

    Reference:
        Cortes, Mohri, Zhong: Improved balanced classification with theoretically grounded loss functions, NeurIPS 2025.

    Departures:
        Derived from the paper's abstract (only consistent form of it), not from its text or code, which were not available.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("gla").words
        {'loss': 'generalized-logit-adjusted'}
    """
    yield Stage(Objective(GeneralizedLogitAdjusted(task.counts, q=q, tau=tau)))
