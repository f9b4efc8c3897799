"""The best thresholds on given rows: every cut between two scores is looked at, for a metric of weighted confusion counts.

A metric here is a function of sums over classes of terms that depend on one class's counts only (rows decided rightly, rows
decided for it, rows of it). When a cut passes a row, two classes change, so all cuts cost one sort and a few cumulative sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.decisions._arrays import LEAST, Floats, Ints, mass_of

MetricLike: TypeAlias = "str | Callable[..., float]"

NAMES = ("balanced_accuracy", "f1", "macro_f1", "g_mean", "mcc", "accuracy")
"""Metrics whose best thresholds can be searched for by name."""
CUTS_OF_A_FUNCTION = 1000
"""Most cuts at which a function of the user's is asked, for two classes; the fewer, evenly spread ones, if there are more."""
CUTS_A_CLASS = 64
"""The same for each class of several, each time it is its turn."""
NONE_RIGHT = 1e3
"""What a class of which no row is decided rightly costs where logarithms of recalls are summed."""
FEW_SCORES = 10_000
"""Scores N * C up to which more starts are tried: with few rows the metric has many local optima, and a start costs little."""
PUSH = 2.0
"""By how much the log-probability of one class is raised, or lowered, for a further start."""
SWEEPS = 50
"""Most times that every class has its turn."""
BETTER = 1e-12
"""An improvement is more than this."""


@dataclass(frozen=True)
class Judge:
    """What is to be as high as possible.

    Attributes:
        metric: a name, or a function `(target, decided) -> number`, called with `sample_weight=` where rows have weights.
        target: classes `[N]`.
        weight: `[N]`, above 0.
        mass: weight of each class `[C]`.
        positive: the class whose F1 is meant, for two classes.
        weighted: whether the user gave weights.
    """

    metric: MetricLike
    target: Ints
    weight: Floats
    mass: Floats
    positive: int
    weighted: bool

    def __post_init__(self) -> None:
        if isinstance(self.metric, str) and self.metric not in NAMES:
            raise UnknownName("metric", self.metric, NAMES)

    def terms(self, right: Floats, said: Floats, classes: Any) -> Floats:
        """What one class adds to the sums `[T, ...]`.

        Args:
            right: weight of its rows that are decided rightly `[...]`.
            said: weight of the rows that are decided to be of it `[...]`.
            classes: which class `[...]`.
        """
        truth = self.mass[classes]
        seen = truth > 0
        whole = np.where(seen, truth, 1.0)
        match self.metric:
            case "accuracy":
                return np.stack([right])
            case "balanced_accuracy":
                return np.stack([np.where(seen, right / whole, 0.0)])
            case "f1" | "macro_f1":
                counted = seen if self.metric == "macro_f1" or len(self.mass) > 2 else seen & (classes == self.positive)
                return np.stack([np.where(counted, 2 * right / (whole + said), 0.0)])
            case "g_mean":
                some = right > 1e-9 * whole  # weights are summed with rounding
                logs = np.log(np.where(some, right, whole) / whole)
                return np.stack([np.where(seen, np.where(some, logs, -NONE_RIGHT), 0.0)])
            case _:
                return np.stack([right, said * truth, said**2])

    def finish(self, sums: Floats) -> Floats:
        """The metric of sums of terms `[T, ...]`, or what orders as it does (the mean log recall for the G-mean)."""
        total, seen = self.mass.sum(), int((self.mass > 0).sum())
        result: Floats
        match self.metric:
            case "accuracy":
                result = sums[0] / total
            case "f1" if len(self.mass) == 2:
                result = sums[0]
            case "mcc":
                room = (total**2 - sums[2]) * (total**2 - (self.mass**2).sum())
                known = room > 1e-12 * total**4
                result = np.where(known, (total * sums[0] - sums[1]) / np.sqrt(np.where(known, room, 1.0)), 0.0)
            case _:
                result = sums[0] / seen
        return result

    def value(self, decided: Ints) -> float:
        """How good decisions `[N]` are."""
        if not isinstance(self.metric, str):
            weights = {"sample_weight": self.weight} if self.weighted else {}
            value = self.metric(self.target, decided, **weights)
            try:
                return float(value)
            except (TypeError, ValueError):
                raise ArgumentError("metric", "a function of classes and decisions that gives a number", repr(value)) from None
        classes = len(self.mass)
        right = mass_of(self.target, self.weight * (decided == self.target), classes)
        said = mass_of(decided, self.weight, classes)
        return float(self.finish(self.terms(right, said, np.arange(classes)).sum(1)))


@dataclass(frozen=True)
class Line:
    """Rows in the order in which they are decided for a class as it is favoured more and more.

    Attributes:
        margin: how much the class has to be favoured for each row `[N]`, rising.
        ends: cuts: how many of the first rows are decided for it `[K]`, 0 first, N last; rows of equal margin are not parted.
        order: the rows `[N]`.
    """

    margin: Floats
    ends: Ints
    order: Ints

    @classmethod
    def of(cls, margin: Floats) -> Line:
        """Sort the rows."""
        order = np.argsort(margin, kind="stable")
        rising = margin[order]
        return cls(rising, np.flatnonzero(np.concatenate([[True], rising[1:] != rising[:-1], [True]])), order)

    def between(self, cut: int, below: float, above: float) -> float:
        """A value that parts the rows of cut number `cut` from the rest: half way, where there is a number.

        Args:
            cut: index into `ends`.
            below: the value where no row lies before the cut.
            above: the value where no row lies after it.
        """
        end = int(self.ends[cut])
        if end == 0:
            return below
        if end == len(self.margin):
            return above
        before, after = float(self.margin[end - 1]), float(self.margin[end])
        middle = before + (after - before) / 2
        return middle if middle < after else before


def values_along(judge: Judge, line: Line, rival: Ints, chosen: int, most: int) -> tuple[Ints, Floats]:
    """Which cuts were looked at (indices into `line.ends`), and the metric at each.

    Args:
        judge: the metric and the rows.
        line: the rows in the order in which they are decided for class `chosen`.
        rival: what each row is decided to be otherwise `[N]`, not in that order.
        chosen: the class.
        most: cuts at which a function is asked.
    """
    if isinstance(judge.metric, str):
        return np.arange(len(line.ends)), _all_values(judge, line, rival[line.order], chosen)
    looked = np.unique(np.linspace(0, len(line.ends) - 1, min(most, len(line.ends))).round().astype(np.int64))
    found = []
    for end in line.ends[looked]:
        decided = rival.copy()
        decided[line.order[:end]] = chosen
        found.append(judge.value(decided))
    return looked, np.array(found, dtype=np.float64)


def _all_values(judge: Judge, line: Line, rival: Ints, chosen: int) -> Floats:
    """The metric at every cut `[K]`."""
    target, weight = judge.target[line.order], judge.weight[line.order]
    classes = len(judge.mass)
    own_said, own_right = _from_zero(weight)[line.ends], _from_zero(weight * (target == chosen))[line.ends]
    own = judge.terms(own_right, own_said, chosen)
    if classes == 2:  # what is not decided for one class is decided for the other
        theirs_right = np.maximum(judge.mass[rival[0]] - (own_said - own_right), 0.0)
        return judge.finish(own + judge.terms(theirs_right, np.maximum(judge.mass.sum() - own_said, 0.0), rival[0]))
    said, right = mass_of(rival, weight, classes), mass_of(rival, weight * (target == rival), classes)
    others = np.arange(classes) != chosen
    base = judge.terms(right[others], said[others], np.flatnonzero(others)).sum(1)
    # Rows of one rival stand together, so that a cumulative sum says what the rival has lost to the class so far.
    grouped = np.argsort(rival, kind="stable")
    theirs, lost_said = rival[grouped], weight[grouped]
    lost_right = lost_said * (target[grouped] == theirs)
    start = np.concatenate([[0], np.cumsum(np.bincount(theirs, minlength=classes))])[theirs]
    said_after = said[theirs] - _sums_within(lost_said, start)
    right_after = right[theirs] - _sums_within(lost_right, start)
    after = judge.terms(np.maximum(right_after, 0.0), np.maximum(said_after, 0.0), theirs)
    before = judge.terms(np.maximum(right_after + lost_right, 0.0), np.maximum(said_after + lost_said, 0.0), theirs)
    change = np.empty_like(after)
    change[:, grouped] = after - before
    lost = np.stack([_from_zero(row) for row in change])[:, line.ends]
    return judge.finish(base[:, None] + lost + own)


def _from_zero(values: Floats) -> Floats:
    """Sums of the first 0, 1, ..., N values `[N + 1]`."""
    return np.concatenate([[0.0], np.cumsum(values)])


def _sums_within(values: Floats, start: Ints) -> Floats:
    """Sums from the start of each value's group up to it `[N]`."""
    sums = _from_zero(values)
    result: Floats = sums[1:] - sums[start]
    return result


def best_binary(score: Floats, judge: Judge) -> float:
    """The cut of P(class 1) that is best, the nearest to 0.5 of equals: rows at or above it are decided to be of class 1."""
    line = Line.of(-score)
    looked, values = values_along(judge, line, np.zeros(len(score), dtype=np.int64), 1, CUTS_OF_A_FUNCTION)
    if np.isnan(values).all():
        raise ArgumentError("metric", "a function that gives a number for some decisions", "NaN for all")
    best = looked[values >= np.nanmax(values) - BETTER]
    cuts = np.array(
        [cut_at(line, int(one)) for one in (best if len(best) <= CUTS_OF_A_FUNCTION else _nearest_half(line, best))]
    )
    return float(cuts[np.abs(cuts - 0.5).argmin()])


def _nearest_half(line: Line, best: Ints) -> Ints:
    """Of many equally good cuts those around 0.5."""
    place = int(np.searchsorted(line.margin[np.minimum(line.ends[best], len(line.margin) - 1)], -0.5))
    return best[max(0, place - 3) : place + 3]


def cut_at(line: Line, cut: int) -> float:
    """The probability at which to cut, where the margins are minus probabilities: rows at or above it are decided for."""
    highest, lowest = -float(line.margin[0]), -float(line.margin[-1])
    none = highest + (1.0 - highest) / 2
    none = none if none > highest else float(np.nextafter(highest, np.inf))
    return -line.between(cut, -none, -lowest / 2)


def ascend(logs: Floats, judge: Judge) -> Floats:
    """Thresholds of probabilities `[C]`, adding up to 1, that are good for the metric: coordinate ascent from several starts.

    Each class in turn is given the best of all thresholds. Classes without rows keep those that they start with. What was found
    is judged as it will decide: equal scores may part when offsets become thresholds. The starts are equal thresholds and class
    shares; with few rows, and a metric by name, also both with one class favoured, or put at a disadvantage.
    """
    share = np.maximum(judge.mass, judge.mass[judge.mass > 0].min())
    equal = np.zeros(logs.shape[1])
    starts = [equal, -np.log(share / share.sum())]
    if logs.size <= FEW_SCORES and isinstance(judge.metric, str):
        pushed = [sign * PUSH * (np.arange(len(equal)) == c) for c in np.flatnonzero(judge.mass > 0) for sign in (1, -1)]
        starts += [start + push for start in starts for push in pushed]
    found = [np.exp(-_ascended(logs, judge, start)) for start in starts]
    thresholds = [one / one.sum() for one in (*found, np.exp(equal))]
    return max(thresholds, key=lambda one: judge.value((logs - np.log(one)).argmax(1)))


def _ascended(logs: Floats, judge: Judge, start: Floats) -> Floats:
    offsets, rows = start.copy(), np.arange(len(logs))
    widest = -np.log(LEAST) - np.log(len(start)) - 1.0  # thresholds further apart are no numbers any more
    best = judge.value((logs + offsets).argmax(1))
    for _ in range(SWEEPS):
        before = best
        for chosen in np.flatnonzero(judge.mass > 0):
            scores = logs + offsets
            scores[:, chosen] = -np.inf
            rival = scores.argmax(1)
            line = Line.of(scores[rows, rival] - logs[:, chosen])
            looked, values = values_along(judge, line, rival, int(chosen), CUTS_A_CLASS)
            top = int(np.nanargmax(values)) if not np.isnan(values).all() else 0
            if not values[top] > best + BETTER:
                continue
            tried = offsets.copy()
            others = np.delete(offsets, chosen)
            cut = line.between(int(looked[top]), float(line.margin[0]) - 1.0, float(line.margin[-1]) + 1.0)
            tried[chosen] = np.clip(cut, others.max() - widest, others.min() + widest)
            reached = judge.value((logs + tried).argmax(1))
            if reached > best + BETTER:
                offsets, best = tried, reached
        if not best > before + BETTER:
            break
    centred: Floats = offsets - offsets.mean()
    return centred
