"""Logit adjustment after training."""

from __future__ import annotations

from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.decisions import Adjusted, LogitShift

SEARCH = {"tau": "0.25..2"}


def posthoc_la(task: TaskView, *, tau: float = 1.0) -> Steps:
    """Train with plain cross-entropy and subtract the log-prior from the scores when deciding.

    Formula:
        `L = CE(z, y)`; decide by `argmax_y z_y - tau * log pi_y`.

    Args:
        task: what is learnt.
        tau: strength, 0 or more; 0 is plain cross-entropy, 1 is consistent for balanced accuracy.

    Reference:
        Menon, Jayasumana, Rawat, Jain, Veit, Kumar: Long-tail learning via logit adjustment, ICLR 2021.

    Departures:
        A class never seen counts as one row. Validation numbers during training, and with them the selected epoch, are those of
        the scores before the shift.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("posthoc-la").words
        {'decision': 'logit-shift'}
    """
    model = yield Stage()
    return Adjusted(model, LogitShift(task.counts, tau))
