"""Wines of three growers, from scikit-learn: 178 rows, 13 measurements."""

from __future__ import annotations

from steelyard.core.task import Task
from steelyard.data.raw import Part, Raw
from steelyard.problems._catalogue import About
from steelyard.problems._load import assemble
from steelyard.problems._settings import ProblemSettings

ABOUT = About("wine", "wines of three growers from 13 measurements (scikit-learn)", "tables", 178, 3)


def wine(settings: ProblemSettings | None = None) -> Task:
    """Wines of three growers: 59, 71 and 48 rows.

    Args:
        settings: of the problem; None for the defaults.

    Reference:
        Aeberhard, Forina. Wine. UCI Machine Learning Repository, 1992.

    Example:
        >>> wine().features
        '13 numeric columns'
    """
    from sklearn.datasets import load_wine

    found = load_wine(as_frame=True)
    names = tuple(str(name) for name in found.target_names)
    raw = Raw("wine", "tables", {"train": Part(found.data, found.target.to_numpy())}, names)
    return assemble(raw, settings or ProblemSettings())
