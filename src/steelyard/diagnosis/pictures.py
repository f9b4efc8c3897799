"""Gram matrices and norms of classifier and class means beside those that the class counts imply, ready to be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.core.counts import CountsLike
from steelyard.diagnosis.frames import Frame
from steelyard.diagnosis.geometry import Geometry
from steelyard.diagnosis.simplex_encoding import seli
from steelyard.metrics.arrays import Floats, Ints

SHOWN = 40
"""Classes in a picture of a matrix; of more, so many that are evenly spaced by size."""

DIGITS = 5

Json = dict[str, Any]


def shown_classes(order: Ints) -> Ints:
    """Classes that the pictures show, in the order given: all, or the first, the last and evenly spaced ones between.

    Args:
        order: classes, largest first `[C]`.

    Example:
        >>> shown_classes(np.arange(1000))[[0, 1, -1]].tolist(), len(shown_classes(np.arange(1000)))
        ([0, 26, 999], 40)
    """
    if len(order) <= SHOWN:
        return order
    return np.asarray(order[np.linspace(0, len(order) - 1, SHOWN).round().astype(np.int64)])


def ideal_pictures(class_counts: CountsLike, shown: Ints) -> Json:
    """What SELI implies for the counts: "classifier" and "means", each with "gram", "norms" and "nearest".

    Args:
        class_counts: training rows of each class `[C]`.
        shown: classes in the pictures of matrices.
    """
    ideal = seli(class_counts)
    return {
        name: _picture(gram, np.arange(len(gram)), shown)
        for name, gram in (("classifier", ideal.classifier), ("means", ideal.means))
    }


def pictures(found: Geometry, shown: Ints) -> Json:
    """The same of a trained network; "classifier" is None where it was not measured.

    Args:
        found: its geometry.
        shown: classes in the pictures of matrices.
    """
    frames: dict[str, Frame | None] = {"classifier": found.classifier, "means": found.means}
    return {name: None if frame is None else _framed(frame, shown) for name, frame in frames.items()}


def _framed(frame: Frame, shown: Ints) -> Json:
    return _picture(frame.gram, np.flatnonzero(np.isfinite(np.diag(frame.gram))), shown)


def _picture(gram: Floats, present: Ints, shown: Ints) -> Json:
    """A Gram matrix scaled so that the mean squared norm is 1; norms; and the cosine with the nearest other class."""
    squares = np.diag(gram)
    scale = squares[present].mean() if present.size else 1.0
    norms = np.sqrt(squares / scale)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = gram / np.sqrt(np.outer(squares, squares))
    others = np.where(np.eye(len(gram), dtype=bool), -np.inf, np.nan_to_num(cosines, nan=-np.inf))
    nearest = np.where(np.isfinite(others.max(1)), others.max(1), np.nan)
    return {
        "gram": _rounded(gram[np.ix_(shown, shown)] / scale),
        "norms": _rounded(norms),
        "nearest": _rounded(nearest),
    }


def _rounded(values: Floats) -> Any:
    """Lists of numbers with few digits, which keeps a page of many classes small."""
    return np.round(values, DIGITS).tolist()
