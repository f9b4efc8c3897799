"""Breast tumours of Wisconsin, from scikit-learn: 569 rows, 30 measurements, 212 malignant and 357 benign."""

from __future__ import annotations

from steelyard.core.task import Task
from steelyard.data.raw import Part, Raw
from steelyard.problems._catalogue import About
from steelyard.problems._load import assemble
from steelyard.problems._settings import ProblemSettings

ABOUT = About("breast-cancer", "tumours from 30 measurements, 212 malignant and 357 benign (scikit-learn)", "tables", 569, 2)


def breast_cancer(settings: ProblemSettings | None = None) -> Task:
    """Malignant (class 0) and benign (class 1) tumours.

    Args:
        settings: of the problem; None for the defaults.

    Reference:
        Wolberg, Mangasarian, Street. Breast Cancer Wisconsin (Diagnostic). UCI Machine Learning Repository, 1993.

    Example:
        >>> breast_cancer().class_names
        ('malignant', 'benign')
    """
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer(as_frame=True)
    names = tuple(str(name) for name in found.target_names)
    raw = Raw("breast-cancer", "tables", {"train": Part(found.data, found.target.to_numpy())}, names)
    return assemble(raw, settings or ProblemSettings())
