"""Logit adjustment in the loss."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import LogitAdjusted

SEARCH = {"tau": "0.5..2"}


def la(task: TaskView, *, tau: float = 1.0) -> Stages:
    """Logit adjustment: add the log-prior to the scores in training, and leave it away when deciding.

    Formula:
        `L = CE(z + tau * log pi, y)`; decide by `argmax z`.

    Args:
        task: what is learnt.
        tau: strength; 0 is plain cross-entropy, 1 is consistent for balanced accuracy.

    Reference:
        Menon, Jayasumana, Rawat, Jain, Veit, Kumar: Long-tail learning via logit adjustment, ICLR 2021.

    Departures:
        The released code adds 1e-12 to the prior before the logarithm; here a class never seen counts as one row.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("la").words
        {'loss': 'logit-adjusted'}
    """
    yield Stage(Objective(LogitAdjusted(task.counts, tau=tau)))
