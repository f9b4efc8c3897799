"""What a plain linear classifier would make of a network's embeddings, if it were given as many rows as the network was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.core.counts import CountsLike, as_counts
from steelyard.core.errors import ArgumentError
from steelyard.diagnosis._normal import cdf
from steelyard.diagnosis.findings import Taxonomy
from steelyard.diagnosis.finite_sample import LostRecall, lda_equivalents, split
from steelyard.diagnosis.gaussian import bayes, shifted
from steelyard.diagnosis.regimes import Regime, regime
from steelyard.diagnosis.separability import multiclass_recalls
from steelyard.metrics.arrays import Floats


@dataclass(frozen=True)
class Expected:
    """One class, with the counts that were trained on.

    Args:
        label: of the class.
        rows: it was trained on.
        confuser: class that takes most of its rows.
        eta: rows of the confuser to one of its rows.
        delta: separability of the two.
        delta_interval: of the taxonomy, where it measured these two; NaN otherwise.
        recall: predicted for linear discriminant analysis with the rows that were trained on.
        recall_bounds: between which it has to lie for jointly normal scores; equal for two classes.
        adjusted: once all classes are taken as equally frequent and the count bias is corrected.
        lost: where the recall against the confuser went.
        regime: by `recall`.
    """

    label: object
    rows: int
    confuser: object
    eta: float
    delta: float
    delta_interval: tuple[float, float]
    recall: float
    recall_bounds: tuple[float, float]
    adjusted: float
    lost: LostRecall
    regime: Regime


def expected(found: Taxonomy, class_counts: CountsLike) -> tuple[Expected, ...] | None:
    """Carry what was measured on some rows over to other counts: separabilities stay, ratios and numbers of rows change.

    Meant for embeddings: separability is measured on rows that a network has not seen (on those it was trained on what it
    memorised would count), and the ratios are those that it was trained on.

    Args:
        found: a taxonomy.
        class_counts: rows to predict for, of the classes in the order of `found.labels` `[K]`; one that has none counts as one.

    Returns:
        One entry a class; None where the distances could not be known, or where the rows are too few for so many features.

    Raises:
        ArgumentError: counts of another number of classes.

    Example:
        >>> from steelyard.diagnosis.taxonomy import taxonomy
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(400, 5))
        >>> X[200:, 0] += 2
        >>> lines = expected(taxonomy(X, np.repeat([0, 1], 200)), [1000, 10])
        >>> lines[1].eta, lines[1].recall < 0.2 < lines[1].adjusted
        (100.0, True)
    """
    counts = as_counts(class_counts).numpy().clip(1).astype(np.float64)
    if len(counts) != len(found.labels):
        raise ArgumentError("class_counts", f"[{len(found.labels)}], one a class of the taxonomy", f"[{len(counts)}]")
    dof = int(counts.sum()) - len(counts)
    if found.pairs[0].delta_kind != "mahalanobis" or dof <= found.d + 1:
        return None
    deltas = found.deltas
    rule = lda_equivalents(deltas, found.d, dof)
    one = 1 / counts
    bias = rule.b * (one[None, :] - one[:, None]) / 2
    sd = np.sqrt(rule.c + rule.d * (one[:, None] + one[None, :]))
    odds = np.log(counts[None, :] / counts[:, None])
    z = np.asarray(shifted(rule.a / 2 + bias - odds, sd), dtype=np.float64)
    even = np.full_like(sd, 2 * len(counts) / counts.sum())
    balanced = multiclass_recalls(np.asarray(shifted(rule.a / 2, np.sqrt(rule.c + rule.d * even)), dtype=np.float64))[1]
    low, recalls, high = multiclass_recalls(z)
    adjusted = multiclass_recalls(np.asarray(shifted(rule.a / 2, sd), dtype=np.float64))[1]
    against = np.where(np.eye(len(counts), dtype=bool), np.inf, z).argmin(1)
    intervals = _intervals(found)
    return tuple(
        Expected(
            label=label,
            rows=int(as_counts(class_counts)[i]),
            confuser=found.labels[j],
            eta=float(counts[j] / counts[i]),
            delta=float(deltas[i, j]),
            delta_interval=intervals.get(frozenset((label, found.labels[j])), (float("nan"), float("nan"))),
            recall=float(recalls[i]),
            recall_bounds=(float(low[i]), float(high[i])),
            adjusted=float(adjusted[i]),
            lost=_lost(float(deltas[i, j]), found.d, dof, float(counts[j]), float(counts[i])),
            regime=regime(float(recalls[i]), float(balanced[i])),
        )
        for i, (label, j) in enumerate(zip(found.labels, against.tolist(), strict=True))
    )


def _lost(delta: float, dim: int, dof: int, n0: float, n1: float) -> LostRecall:
    endless = float(np.asarray(bayes(n0 / n1, delta).minority_recall))
    return split(lda_equivalents(delta, dim, dof), n0, n1, ideal=float(cdf(delta / 2)), endless=endless)


def _intervals(found: Taxonomy) -> dict[frozenset[object], tuple[float, float]]:
    """Intervals of the separabilities of the pairs that the taxonomy looked at."""
    return {frozenset((pair.minority, pair.majority)): pair.delta_interval for pair in found.pairs}


def worst_of(lines: tuple[Expected, ...]) -> Expected:
    """The class with the lowest predicted recall."""
    return min(lines, key=lambda line: line.recall)


def recalls_of(lines: tuple[Expected, ...]) -> Floats:
    """Predicted recalls `[K]`."""
    return np.array([line.recall for line in lines])
