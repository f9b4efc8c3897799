"""Asymmetric loss."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import Asymmetric
from steelyard.methods.multi_label._per_label import PerLabel

SEARCH = {"gamma_neg": "0..6", "gamma_pos": "0..2", "margin": "0..0.2"}


def asymmetric(task: TaskView, *, gamma_neg: float = 4.0, gamma_pos: float = 0.0, margin: float = 0.05) -> Stages:
    """Binary cross-entropy a label in which easy absences fade away and very easy ones are left out: ASL.

    Formula:
        present: `-(1 - p)^gamma_pos log p`; absent: `-q^gamma_neg log(1 - q)`, `q = max(p - margin, 0)`; decide by p.

    Args:
        task: what is learnt.
        gamma_neg: how fast easy absences fade, 0 or more.
        gamma_pos: how fast easy presences fade, 0 or more.
        margin: probability up to which an absence costs nothing, in [0, 1).

    Raises:
        CombinationError: the data are not multi-label.

    Reference:
        Ridnik, Ben-Baruch, Zamir, Noy, Friedman, Protter, Zelnik-Manor: Asymmetric loss for multi-label classification,
        ICCV 2021.

    Departures:
        See `steelyard.losses.Asymmetric`.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("asymmetric").of
        'multi-label'
    """
    task.require("multi-label", "asymmetric")
    yield Stage(Objective(PerLabel(Asymmetric(gamma_neg, gamma_pos, margin))))
