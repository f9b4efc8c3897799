"""How well discriminant analysis does on rows that it has not seen: cross-validated recalls and areas under ROC curves.

This makes no assumption about the classes' shape, so it stands beside the closed forms as a check, and in their place where
there are more features than rows and the distance of the class means cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from steelyard.core.seeds import derive
from steelyard.diagnosis.prepare import Prepared, within
from steelyard.diagnosis.shrinkage import Shrinkage, parts_of
from steelyard.metrics.arrays import Floats, Ints

FOLDS = 5
REPEATS = 5

ROWS = 20_000
"""Above this many rows the folds are drawn once; repeating them would tell nothing new."""

AXES = 600
"""Above this many axes too: each fold then solves for a large covariance."""

CLASSES = 50
"""Above this many classes too: each is ranked against the rest in each fold."""

OTHERS = 4_000
"""Rows of other classes that a class is ranked against in a fold, at most."""


@dataclass(frozen=True)
class Areas:
    """Areas under ROC curves with DeLong variances.

    Args:
        area: mean over folds and repeats `[K]`; NaN for classes that cannot be held out.
        variance: DeLong's `[K]`.
    """

    area: Floats
    variance: Floats


@dataclass(frozen=True)
class Held:
    """What rows that were held out say.

    Args:
        recall: of (shrinkage) LDA with the priors of the training rows `[K]`.
        rest: one class against the rest.
        pair: one class against its `against`.
        share: part of the rows that the models were fitted to.
        folds: folds used; 0 where no class could be held out.
    """

    recall: Floats
    rest: Areas
    pair: Areas
    share: float
    folds: int


def held_out(
    prepared: Prepared, against: Ints, *, shrink: Shrinkage | None, seed: int = 0, folds: int = FOLDS, repeats: int = REPEATS
) -> Held:
    """Cross-validate linear discriminant analysis, stratified by class.

    Args:
        prepared: the rows.
        against: for each class the one that it is compared with `[K]`.
        shrink: shrinkage of the covariance, chosen in each fold; None for the pooled covariance.
        seed: of the folds.
        folds: at most; the rows of a small class go to as many folds as it has rows. A class with one row is always trained on.
        repeats: how often the folds are drawn; once for large data.
    """
    counts = prepared.counts
    n, axes = prepared.rows.shape
    folds = int(min(folds, counts.max()))
    repeats = 1 if n > ROWS or axes > AXES or counts.size > CLASSES else repeats
    tally = _Tally(counts, against, np.random.default_rng(derive(seed, "diagnosis", "others")))
    for repeat in range(repeats):
        rng = np.random.default_rng(derive(seed, "diagnosis", "folds", repeat))
        fold = _folds(prepared.target, counts, folds, rng)
        for k in range(folds):
            test = fold == k
            scores = discriminant(prepared, ~test, prepared.rows[test], shrink)
            tally.add(scores, prepared.target[test])
        tally.close()
    return tally.held((folds - 1) / folds, folds)


def _folds(target: Ints, counts: Ints, folds: int, rng: np.random.Generator) -> Ints:
    """Fold of each row; -1 for the only row of a class."""
    fold = np.full(target.shape[0], -1, dtype=np.int64)
    order = np.argsort(target, kind="stable")
    for rows, count in zip(np.split(order, np.cumsum(counts)[:-1]), counts, strict=True):
        if count > 1:
            fold[rng.permutation(rows)] = (np.arange(count) + rng.integers(folds)) % folds
    return fold


def discriminant(prepared: Prepared, train: Floats, rows: Floats, shrink: Shrinkage | None) -> Floats:
    """Discriminant scores of rows by the pooled covariance and the shares of the training rows.

    Args:
        prepared: the rows that may be trained on.
        train: which of them are `[n]`, truth values.
        rows: to be scored `[t, r]`.
        shrink: shrinkage of the covariance; None for none.

    Returns:
        Scores `[t, K]`, -inf for classes that are not among the training rows.
    """
    target = prepared.target[train]
    found = within(prepared.rows[train], target, len(prepared.labels))
    counts = np.bincount(target, minlength=len(prepared.labels)).astype(np.float64)
    covariance = found.covariance() if found.dof > 0 else np.zeros((rows.shape[1],) * 2)
    mean = max(float(np.trace(covariance)) / covariance.shape[0], 1e-12)
    keep, lam = (1.0, 0.0) if shrink is None else parts_of(found.residuals, max(found.dof, 1), prepared.dim, shrink)
    covariance *= keep
    # A touch of ridge where none is asked for: the training rows of a fold may lie in fewer axes.
    covariance[np.diag_indices_from(covariance)] += max(lam, 1e-8 * mean)
    there = counts > 0
    means = found.means[there]
    solved = np.linalg.solve(covariance, means.T)
    scores = np.full((rows.shape[0], there.size), -np.inf)
    scores[:, there] = rows @ solved - 0.5 * (means.T * solved).sum(0) + np.log(counts[there] / counts.sum())
    return scores


class _Tally:
    """Adds up what folds say: decisions, and DeLong's components class by class."""

    def __init__(self, counts: Ints, against: Ints, rng: np.random.Generator) -> None:
        classes = counts.size
        self.against, self.rng = against, rng
        self.right, self.seen = np.zeros(classes), np.zeros(classes)
        self.parts: list[list[tuple[Floats, Floats]]] = [[] for _ in range(2 * classes)]
        self.areas: list[list[float]] = [[] for _ in range(2 * classes)]
        self.variances: list[list[float]] = [[] for _ in range(2 * classes)]

    def add(self, scores: Floats, target: Ints) -> None:
        """The scores of a fold's rows."""
        classes = scores.shape[1]
        self.seen += np.bincount(target, minlength=classes)
        self.right += np.bincount(target[scores.argmax(1) == target], minlength=classes)
        against_rest = _log_odds(scores)
        for c in np.unique(target):
            mine, other = target == c, int(self.against[c])
            rest = np.flatnonzero(~mine)
            if rest.size > OTHERS:
                rest = self.rng.choice(rest, OTHERS, replace=False)
            if rest.size:
                self.parts[c].append(_components(against_rest[mine, c], against_rest[rest, c]))
            theirs = target == other
            if theirs.any() and np.isfinite(scores[mine, c]).all():
                with np.errstate(invalid="ignore"):
                    difference = scores[:, c] - scores[:, other]
                self.parts[classes + c].append(_components(difference[mine], difference[theirs]))

    def close(self) -> None:
        """Ends a repeat."""
        for parts, areas, variances in zip(self.parts, self.areas, self.variances, strict=True):
            if parts:
                positive = np.concatenate([one for one, _ in parts])
                negative = np.concatenate([two for _, two in parts])
                areas.append(float(positive.mean()))
                variances.append(_variance(positive) + _variance(negative))
                parts.clear()

    def held(self, share: float, folds: int) -> Held:
        """Everything added up."""
        classes = self.seen.size
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = self.right / self.seen
        area = np.array([np.mean(areas) if areas else np.nan for areas in self.areas])
        variance = np.array([np.mean(variances) if variances else np.nan for variances in self.variances])
        rest, pair = (Areas(area[part], variance[part]) for part in (slice(None, classes), slice(classes, None)))
        return Held(recall, rest, pair, share, folds)


def _variance(components: Floats) -> float:
    """Variance of a mean of components; of one component alone the largest possible."""
    return float(components.var(ddof=1) / components.size) if components.size > 1 else 0.25


def _components(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it, for each negative the share of positives above it; ties count half."""
    ordered, others = np.sort(negative), np.sort(positive)
    below = (np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")) / 2 / negative.size
    under = (np.searchsorted(others, negative, "left") + np.searchsorted(others, negative, "right")) / 2 / positive.size
    return below, 1 - under


def _log_odds(scores: Floats) -> Floats:
    """Logarithm of p_c / (1 - p_c) of each class `[t, K]`, with all digits also where p_c is near 1."""
    if scores.shape[1] == 2:
        with np.errstate(invalid="ignore"):
            difference = scores[:, 0] - scores[:, 1]
        return np.column_stack([difference, -difference])
    top = scores.argmax(1)
    every = np.arange(scores.shape[0])
    highest = scores[every, top]
    shares = np.exp(scores - highest[:, None])
    total = shares.sum(1)
    with np.errstate(divide="ignore"):
        odds = scores - highest[:, None] - np.log(np.maximum(total[:, None] - shares, 1e-300))
        shares[every, top] = 0.0
        # Of the likeliest class the others are added up themselves.
        odds[every, top] = -np.log(np.maximum(shares.sum(1), 1e-300))
    return np.asarray(odds, dtype=np.float64)


def each(areas: Areas) -> Iterator[tuple[float, float]]:
    """Area and variance of each class."""
    yield from zip(areas.area.tolist(), areas.variance.tolist(), strict=True)
