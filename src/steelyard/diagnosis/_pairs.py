"""The arithmetic of `taxonomy` for pairs of classes: separability, its interval, and what follows for the recalls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from steelyard.diagnosis._normal import cdf
from steelyard.diagnosis.findings import DeltaKind, Interval, Pair, Predicted
from steelyard.diagnosis.finite_sample import Equivalents, LostRecall, abstract_rule, lda_equivalents, split
from steelyard.diagnosis.gaussian import bayes, delta_of_auroc, shifted
from steelyard.diagnosis.prepare import Prepared, Within
from steelyard.diagnosis.regimes import regime
from steelyard.diagnosis.scores import Held
from steelyard.diagnosis.separability import (
    IntervalKind,
    auroc_interval,
    debiased,
    eta_interval,
    jackknife_interval,
    near_gaussian,
    noncentral_f_interval,
    squared_distances,
)
from steelyard.metrics.arrays import Floats, Ints

GRID = 33
"""Separabilities of an interval at which recalls are looked at: the majority's is not monotone."""

FARTHEST = 60.0
"""Separability that stands for infinity: every recall is 1 to rounding."""

JACKKNIFED = 20
"""Classes up to which each pair's interval may be jackknifed."""


@dataclass(frozen=True)
class Ground:
    """What all pairs share.

    Args:
        prepared: the rows.
        found: means and residuals.
        equivalents: of the rule that is predicted: `a` and `c` matrices `[K, K]`, `b` and `d` numbers.
        shrunk: whether that rule shrinks the covariance.
        squares: D2 of all pairs, None where the distance cannot be known.
        level: of the intervals.
        kind: of the intervals of `delta`.
    """

    prepared: Prepared
    found: Within
    equivalents: Equivalents
    shrunk: bool
    squares: Floats | None
    level: float
    kind: Literal["noncentral-f", "jackknife"]

    def recalls_z(self, counts: Floats, threshold: Floats) -> Floats:
        """How surely class i beats class j: mean over standard deviation of the score `[K, K]`."""
        e, one = self.equivalents, 1 / counts
        mean = (e.a + e.b * (one[None, :] - one[:, None])) / 2 - threshold
        sd = np.sqrt(e.c + e.d * (one[:, None] + one[None, :]))
        return np.asarray(shifted(mean, sd), dtype=np.float64)

    def adjusted_z(self, counts: Floats) -> Floats:
        """The same for scores that take all classes as equally frequent, without the count bias `[K, K]`."""
        e, one = self.equivalents, 1 / counts
        sd = np.sqrt(e.c + e.d * (one[:, None] + one[None, :]))
        return np.asarray(shifted(e.a / 2, sd), dtype=np.float64)

    def delta_matrix(self) -> Floats:
        """Separabilities of all pairs `[K, K]`: distances of the means, or what shrinkage LDA reaches."""
        one = 1 / self.prepared.counts
        noise = one[:, None] + one[None, :]
        if self.squares is None:
            sd = np.sqrt(self.equivalents.c + self.equivalents.d * noise)
            deltas = shifted(self.equivalents.a, sd)
        else:
            counts = self.prepared.counts
            squares = debiased(self.squares, counts[:, None], counts[None, :], self.prepared.dim, self.found.dof)
            deltas = np.sqrt(np.maximum(squares, 0.0))
        deltas = np.array(deltas)
        np.fill_diagonal(deltas, 0.0)
        return deltas


def distances(prepared: Prepared, found: Within) -> Floats | None:
    """D2 of all pairs, or None where the pooled covariance is singular or has too few degrees of freedom."""
    if found.dof - prepared.dim - 1 <= 0 or prepared.rows.shape[1] < prepared.dim:
        return None
    spectrum = np.linalg.eigvalsh(found.covariance())
    # A direction in which classes differ and their rows do not: the distance is infinite.
    if spectrum[0] <= 1e-12 * spectrum[-1]:
        return None
    return squared_distances(found)


def interval_kind(
    asked: IntervalKind, prepared: Prepared, found: Within, squares: Floats | None
) -> Literal["noncentral-f", "jackknife"]:
    """The interval to use: the exact one near Gaussian classes, the jackknife otherwise."""
    if asked == "noncentral-f" or squares is None or prepared.counts.size > JACKKNIFED:
        return "noncentral-f"
    return "noncentral-f" if asked == "auto" and near_gaussian(found) else "jackknife"


def measure(ground: Ground, couples: list[tuple[int, int]], held: Held) -> list[Pair]:
    """The pairs (class i, class j) with everything about them; the one with fewer rows is the minority."""
    counts = ground.prepared.counts
    deltas = ground.delta_matrix()
    intervals = _distance_intervals(ground, couples)
    pairs = []
    for (i, j), distance in zip(couples, intervals, strict=True):
        small, large = (i, j) if counts[i] < counts[j] or (counts[i] == counts[j] and i > j) else (j, i)
        rows = (int(counts[small]), int(counts[large]))
        reached, reached_interval = _reached(ground, held, i, j)
        known = distance is not None
        delta, interval = (float(deltas[i, j]), distance[0]) if distance is not None else (reached, reached_interval)
        kind: DeltaKind = "mahalanobis" if known else "achievable"
        one = _Case(ground, rows, (small, large), delta, interval, reached, reached_interval)
        pairs.append(one.pair(kind, distance[1] if distance is not None else "held-out scores"))
    return pairs


def _distance_intervals(ground: Ground, couples: list[tuple[int, int]]) -> list[tuple[Interval, str] | None]:
    """Interval of each pair's distance and how it was found; None where the distance cannot be known."""
    if ground.squares is None:
        return [None] * len(couples)
    counts, dim, dof = ground.prepared.counts, ground.prepared.dim, ground.found.dof
    i, j = np.array(couples).T
    low, high = noncentral_f_interval(ground.squares[i, j], counts[i], counts[j], dim, dof, level=ground.level)
    found: list[tuple[Interval, str] | None] = []
    for k, couple in enumerate(couples):
        if ground.kind == "jackknife" and counts[list(couple)].min() > 1:
            limits = jackknife_interval(ground.found, ground.prepared.target, counts, dim, couple, level=ground.level)
            found.append((limits, "jackknife"))
        else:
            found.append(((float(low[k]), float(high[k])), "noncentral-f"))
    return found


def _reached(ground: Ground, held: Held, i: int, j: int) -> tuple[float, Interval]:
    """Separability that the rule reaches with all rows, from held-out scores; from the closed form where there are none."""
    counts, e = ground.prepared.counts, ground.equivalents
    own = Equivalents(e.a[i, j], e.b, e.c[i, j], e.d)
    plain = own.recalls(counts[j], counts[i])
    closed = min(float(plain.delta_eff), FARTHEST)
    area, variance = float(held.pair.area[i]), float(held.pair.variance[i])
    if not ground.shrunk or not np.isfinite(area):
        return closed, (0.0, float("inf"))
    fewer = float(own.recalls(held.share * counts[j], held.share * counts[i]).delta_eff)
    growth = closed / fewer if fewer > 0 else 1.0
    edge = 1 / (2 * float(counts[i]) * float(counts[j]))
    low, high = auroc_interval(area, variance, int(counts[i]), int(counts[j]), level=ground.level)
    point, below, above = (growth * max(float(delta_of_auroc(x)), 0.0) for x in (np.clip(area, edge, 1 - edge), low, high))
    return min(point, FARTHEST), (min(below, point), above)


@dataclass(frozen=True)
class _Case:
    """One pair on its way to a `Pair`; `classes` are (minority, majority), `rows` theirs."""

    ground: Ground
    rows: tuple[int, int]
    classes: tuple[int, int]
    delta: float
    interval: Interval
    reached: float
    reached_interval: Interval

    def pair(self, kind: DeltaKind, method: str) -> Pair:
        """Everything about the pair."""
        n1, n0 = self.rows
        eta, n = n0 / n1, self.ground.prepared.rows.shape[0]
        grid = _grid(self.delta, self.interval)
        limit = bayes(eta, grid)
        rule = abstract_rule(eta, n / self.ground.prepared.dim, self.delta)
        labels = self.ground.prepared.labels
        return Pair(
            minority=labels[self.classes[0]],
            majority=labels[self.classes[1]],
            rows=self.rows,
            eta=eta,
            eta_interval=eta_interval(n0, n1, level=self.ground.level),
            delta=self.delta,
            delta_interval=self.interval,
            delta_kind=kind,
            delta_method=method,
            delta_eff=self.reached,
            population=_predicted(limit.minority_recall, limit.majority_recall, eta),
            finite_sample=self.rule(),
            bias_corrected=self.rule(corrected=True),
            adjusted=self.rule(threshold=0.0, corrected=True),
            lost=self.lost(kind, float(limit.minority_recall[0])),
            regime=regime(self.rule().minority_recall, self.balanced()),
            abstract_ratio=float(rule.ratio),
            abstract_collapse=bool(rule.collapses),
            equivalents=self.point(),
        )

    def equivalents(self) -> Equivalents:
        """At the point estimate first, then over the interval."""
        small, large = self.classes
        n1, n0 = self.rows
        e = self.ground.equivalents
        if not self.ground.shrunk:
            grid = _grid(self.delta, self.interval)
            return lda_equivalents(grid, self.ground.prepared.dim, self.ground.found.dof)
        own = Equivalents(e.a[small, large], e.b, e.c[small, large], e.d)
        grid = _grid(self.reached, self.reached_interval)
        # The scores' spread is kept, and their means put as far apart as held-out scores are.
        return Equivalents(grid * own.recalls(n0, n1).sd, own.b, own.c, own.d)

    def point(self) -> Equivalents:
        """At the point estimate alone."""
        e = self.equivalents()
        return Equivalents(np.asarray(e.a)[0], e.b, e.c if np.ndim(e.c) == 0 else np.asarray(e.c)[0], e.d)

    def rule(self, threshold: float | None = None, corrected: bool = False) -> Predicted:
        """What the rule does."""
        n1, n0 = self.rows
        found = self.equivalents().recalls(n0, n1, threshold=threshold, corrected=corrected)
        return _predicted(found.minority, found.majority, n0 / n1)

    def balanced(self) -> float:
        """Recall with as many rows in all, the same in each class."""
        half = sum(self.rows) / 2
        found: Any = self.equivalents().recalls(half, half)
        return float(found.minority[0])

    def lost(self, kind: DeltaKind, endless: float) -> LostRecall:
        """The split; what cannot be known is NaN."""
        n1, n0 = self.rows
        point = self.point()
        if kind == "mahalanobis":
            return split(point, n0, n1, ideal=float(cdf(self.delta / 2)), endless=endless)
        found = split(point, n0, n1, ideal=float(cdf(self.reached / 2)), endless=endless)
        nothing = float("nan")
        return replace(found, ideal=nothing, estimation=nothing, interaction=nothing)


def _grid(point: float, interval: Interval) -> Floats:
    """A separability, and then its interval from end to end."""
    low, high = (min(limit, FARTHEST) for limit in interval)
    return np.concatenate([[min(point, FARTHEST)], np.linspace(low, high, GRID)])


def _predicted(minority: Any, majority: Any, eta: float) -> Predicted:
    """The first value as the prediction, the smallest and largest as its interval."""
    one, two = np.asarray(minority), np.asarray(majority)
    small, large = ((float(x.min()), float(x.max())) for x in (one, two))
    return Predicted(float(one[0]), float(two[0]), small, large, eta)


def counts_of(prepared: Prepared) -> Floats:
    """Rows of each class as floats `[K]`."""
    return np.asarray(prepared.counts, dtype=np.float64)


def confusers(z: Floats) -> Ints:
    """For each class the one that takes most of its rows `[K]`."""
    found: Ints = np.where(np.eye(z.shape[0], dtype=bool), np.inf, z).argmin(1).astype(np.int64)
    return found
