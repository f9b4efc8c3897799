"""Rare but clean, or mislabelled? The loss of a row at one moment cannot tell; how it went over training can."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.core.errors import ArgumentError
from steelyard.metrics.arrays import Floats, Ints, as_array, as_classes, same_rows

LEARNT = math.log(2)
"""Cross-entropy at which a label has half of the probability."""

KINDS = ("easy", "late", "suspect", "unknown")


@dataclass(frozen=True)
class ClassCurves:
    """How the rows of one class were learnt.

    Args:
        rows: of the class.
        learnt: epoch, from 1, at which half of its rows were learnt; None for never.
        easy: share of rows that were learnt when half of all rows were.
        late: share that was not, and was learnt with its class: rare or hard, but clean. A threshold on the loss of that moment
            would have taken them for noise.
        suspect: share that was not learnt when its class was: probably mislabelled.
    """

    rows: int
    learnt: int | None
    easy: float
    late: float
    suspect: float


@dataclass(frozen=True)
class CurveFindings:
    """What `judge_curves` found.

    Args:
        kinds: of each row "easy", "late", "suspect" or "unknown" (the class was never learnt, or the row never drawn) `[N]`.
        scores: mean probability that other labels had, in the epochs after the class was learnt `[N]`; NaN for unknown.
        learnt: epoch, from 1, at which half of all rows were learnt; None for never.
        classes: one for each class.
    """

    kinds: NDArray[np.str_] = field(repr=False)
    scores: Floats = field(repr=False)
    learnt: int | None
    classes: tuple[ClassCurves, ...]

    @property
    def suspects(self) -> Ints:
        """Row numbers of suspects, worst first."""
        rows = np.flatnonzero(self.kinds == "suspect")
        return rows[np.argsort(-self.scores[rows], kind="stable")]

    def to_dict(self, most: int = 100) -> dict[str, Any]:
        """Plain values; None stands for NaN.

        Args:
            most: suspects that are listed.
        """
        classes = [{**vars(one), **{name: _number(getattr(one, name)) for name in KINDS[:3]}} for one in self.classes]
        return {"learnt": self.learnt, "classes": classes, "suspects": self.suspects[:most].tolist()}

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as JSON.

        Args:
            indent: spaces a level; None for one line.
        """
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)


def judge_curves(curves: Any, target: Any, *, window: int | None = None, threshold: float = 0.5) -> CurveFindings:
    """Sort rows by their loss curves: learnt with most rows, learnt later with their class, or not even then.

    Losses are recorded by `steelyard.weightings.LossCurves`, given to `fit` as a listener; of cross-entropy, from a run without
    weights. The curve of a row is judged from when its class is learnt, so that a rare class has the time that it needs. Late
    epochs are left out, for a network in the end knows wrong labels by heart.

    Args:
        curves: loss of each row in each epoch `[N, E]`; NaN where it was not drawn, which counts as its last loss (or first).
        target: class of each row `[N]`, as labelled.
        window: epochs that count from when the class is learnt, 1 or more; None for half of all, but three or more.
        threshold: mean probability of other labels above which a row is a suspect, in (0, 1).

    Returns:
        CurveFindings, with `to_json`.

    Raises:
        ArgumentError: shapes that do not fit, or values out of range.

    Reference:
        That curves tell rare from mislabelled: Jiang, Li, Wang, Huang, Zhang, Xu. Delving into sample loss curve to embrace
        noisy and imbalanced data. AAAI 2022.

    Departures:
        The paper learns weights from curves (the method `curvenet`); this rule is ours, and learns nothing.

    Example:
        >>> easy, rare, wrong = [2.0, 0.1, 0.1, 0.1, 0.1], [4.0, 3.0, 0.5, 0.2, 0.1], [3.0, 4.0, 4.0, 3.0, 2.0]
        >>> judge_curves([easy] * 5 + [wrong, rare, rare, wrong], [0] * 6 + [1] * 3).kinds.tolist()
        ['easy', 'easy', 'easy', 'easy', 'easy', 'suspect', 'late', 'late', 'suspect']
    """
    losses = as_array(curves).astype(np.float64)
    if losses.ndim != 2 or 0 in losses.shape:
        raise ArgumentError("curves", "losses [N, E] of at least one row and one epoch", f"shape {losses.shape}")
    classes = as_classes(target)
    same_rows(len(losses), len(classes), "curves")
    epochs = losses.shape[1]
    window = max(3, epochs // 2) if window is None else window
    if window < 1 or not 0 < threshold < 1:
        raise ArgumentError("window and threshold", "at least 1, and in (0, 1)", f"{window} and {threshold}")
    losses = _filled(losses)
    drawn = ~np.isnan(losses[:, 0])
    other = -np.expm1(-np.maximum(losses, 0.0))
    moment = _learnt(losses[drawn])
    kinds, scores, found = np.full(len(classes), "unknown"), np.full(len(classes), np.nan), []
    for label in range(int(classes.max()) + 1):
        own = np.flatnonzero((classes == label) & drawn)
        since = _learnt(losses[own])
        if since is not None and moment is not None:
            # A class that was learnt at the very end is judged by what there is.
            scores[own] = other[own, since : since + window].mean(1)
            late = losses[own, moment] > LEARNT
            kinds[own] = np.where(scores[own] > threshold, "suspect", np.where(late, "late", "easy"))
        number = int((classes == label).sum())
        shares = [float((kinds[own] == kind).mean()) if since is not None else math.nan for kind in KINDS[:3]]
        found.append(ClassCurves(number, None if since is None else since + 1, *shares))
    return CurveFindings(kinds, scores, None if moment is None else moment + 1, tuple(found))


def _learnt(losses: Floats) -> int | None:
    """The first epoch in which half of the rows have half of the probability; None for never."""
    if not len(losses):
        return None
    there = np.flatnonzero(np.median(losses, axis=0) < LEARNT)
    return int(there[0]) if there.size else None


def _filled(losses: Floats) -> Floats:
    """Missing losses replaced by the last one before, or else the first one after."""
    return _carried(_carried(losses)[:, ::-1])[:, ::-1]


def _carried(losses: Floats) -> Floats:
    epochs = np.where(np.isnan(losses), -1, np.arange(losses.shape[1]))
    last = np.maximum(np.maximum.accumulate(epochs, axis=1), 0)
    found: Floats = np.take_along_axis(losses, last, axis=1)
    return found


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
