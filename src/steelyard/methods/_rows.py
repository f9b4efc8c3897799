"""Methods that know rows by the number of their input."""

from __future__ import annotations

from steelyard.core.errors import CombinationError
from steelyard.core.task import TaskView

SEVERAL_ROWS = ("multi-label", "points")
"""Kinds of data in which an input has several rows."""


def one_row_an_input(task: TaskView, method: str) -> None:
    """Refuse data in which an input has several rows.

    Raises:
        CombinationError: it has.
    """
    if task.kind in SEVERAL_ROWS:
        raise CombinationError(
            f"method '{method}' keeps a value for each row by its number, and an input of '{task.name}' has several rows "
            f"({task.kind}): leave it out"
        )
